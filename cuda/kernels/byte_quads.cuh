// Arithmetic of format/layout.h, INTEGER ARITHMETIC, to the bit: exact sums of products of bytes, and float operations of which
// each rounds by itself (compilers fuse those that are not called by name).
#pragma once

#include "cuda/integer_tasks.h"
#include "cuda/kernels/clusters.cuh"

namespace squish {
namespace cuda {

// Four at once, in one register or four.
struct alignas(16) FloatQuad {
  float values[kQuad];
};

__device__ inline int byte_of(ByteQuad quad, int i) { return static_cast<int>(quad.bits >> 8 * i & 0xFF); }
__device__ inline ByteQuad make_byte_quad(const int (&bytes)[kQuad]) {
  uint32_t bits = 0;
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i) bits |= static_cast<uint32_t>(bytes[i]) << 8 * i;
  return {bits};
}

// sum + the products of four bytes from 0 to 255 and four from -128 to 127. One instruction from compute capability 6.1.
__device__ inline int32_t add_products(ByteQuad activations, ByteQuad weights, int32_t sum) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 610
  asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(activations.bits), "r"(weights.bits));
#else
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i) sum += byte_of(activations, i) * static_cast<int8_t>(byte_of(weights, i));
#endif
  return sum;
}

// The sums of a pixel's 16 output channels.
template <>
struct Sums<ByteQuad> {
  using Activation = ByteQuad;
  struct alignas(16) Weights {
    ByteQuad outputs[4];
  };
  static constexpr int kCarryTaps = kChunkTaps;

  int32_t totals[kClusterChannels];

  __device__ void begin(const int32_t* start) {
    SQUISH_UNROLL
    for (int c = 0; c < kClusterChannels; ++c) totals[c] = start[c];
  }
  __device__ void multiply_add(int vector, const Weights& weights, Activation quad) {
    SQUISH_UNROLL
    for (int i = 0; i < 4; ++i)
      totals[4 * vector + i] = add_products(quad, weights.outputs[i], totals[4 * vector + i]);
  }
  __device__ void carry() {}
};

__device__ inline ByteQuad activation(ByteQuad quad) { return quad; }

__device__ inline ByteQuad larger(ByteQuad a, ByteQuad b) { return {__vmaxu4(a.bits, b.bits)}; }
__device__ inline FloatQuad larger(const FloatQuad& a, const FloatQuad& b) {
  FloatQuad best;
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i) best.values[i] = larger(a.values[i], b.values[i]);
  return best;
}

__device__ inline float scaled(float value, float factor, float term) {
  return __fadd_rn(__fmul_rn(value, factor), term);
}
// Rounded, ties to even; conversion saturates.
__device__ inline int rounded_byte(float value, int low) {
  const int rounded = __float2int_rn(value), not_less = rounded < low ? low : rounded;
  return not_less > 255 ? 255 : not_less;
}

__device__ inline bool in_bytes(const Held& held) { return held.scale != 0; }

// Between values and what is held, a ByteQuad or a FloatQuad.
__device__ inline void hold(const FloatQuad& values, const Held& held, ByteQuad* to) {
  int bytes[kQuad];
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i)
    bytes[i] = rounded_byte(scaled(values.values[i], held.inverse, static_cast<float>(held.zero)), 0);
  *to = make_byte_quad(bytes);
}
__device__ inline void hold(const FloatQuad& values, const Held&, FloatQuad* to) { *to = values; }

__device__ inline float value_of(ByteQuad quad, const Held& held, int i) {
  return __fmul_rn(held.scale, static_cast<float>(byte_of(quad, i) - held.zero));
}
__device__ inline float value_of(const FloatQuad& quad, const Held&, int i) { return quad.values[i]; }

template <typename Value>
__device__ inline FloatQuad values_of(const Value& quad, const Held& held) {
  FloatQuad values;
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i) values.values[i] = value_of(quad, held, i);
  return values;
}

// Of an activation that is held in either: a quad of a pixel, by its place among all quads of all images; one of its values.
__device__ inline FloatQuad read_held(const HeldPlanes<const void>& in, int64_t at) {
  if (in_bytes(in.held)) return values_of(static_cast<const ByteQuad*>(in.data)[at], in.held);
  return static_cast<const FloatQuad*>(in.data)[at];
}
__device__ inline float read_held(const HeldPlanes<const void>& in, int64_t at, int i) {
  if (in_bytes(in.held)) return value_of(static_cast<const ByteQuad*>(in.data)[at], in.held, i);
  return static_cast<const float*>(in.data)[at * kQuad + i];
}

}  // namespace cuda
}  // namespace squish
