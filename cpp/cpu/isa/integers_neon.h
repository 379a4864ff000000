// Integer arithmetic: every 64-bit Arm, and 32-bit Arm with NEON. A sum of two products of signed bytes, 2 * 128 * 127 at most,
// fits 16 bits; pairs of these are added to sums.
#pragma once

#include "cpu/isa/integers_arm.h"

namespace squish {
namespace {

// Half the cycles of a model of Cortex-A57 and A72 (tools/bench/model_kernels.py, cortex-a72): one instruction a cycle
// multiplies four floats or eight bytes, so a 16x1 cluster in floats takes 4. Cortex-A53's model would say 6.9 instead
// of 4. No Arm has been measured.
constexpr IntegerCosts kCosts{4, 4, 5};

struct Quad {
  int8x16_t first, second;  // inputs 0 and 1, eight times; 2 and 3
};

// [inputs 0 and 1, 2 and 3][16 outputs][2].
inline void pack_clusters(const int8_t* clusters, ptrdiff_t count, uint8_t* packed) {
  for (ptrdiff_t k = 0; k < count; ++k, clusters += kClusterBytes, packed += kClusterBytes) {
    for (ptrdiff_t o = 0; o < kClusterOutputs; ++o) {
      __builtin_memcpy(packed + 2 * o, clusters + kClusterInputs * o, 2);
      __builtin_memcpy(packed + kClusterBytes / 2 + 2 * o, clusters + kClusterInputs * o + 2, 2);
    }
  }
}

#if defined(__aarch64__)

constexpr int kMaxIntegerTile = 5;  // 20 sums, 4 weights, 2 of activations and 4 products of the 32 registers

inline Quad broadcast_quad(const uint8_t* p) {
  const int16x4_t pairs = vreinterpret_s16_s8(load_quad(p));
  return {vreinterpretq_s8_s16(vdupq_lane_s16(pairs, 0)), vreinterpretq_s8_s16(vdupq_lane_s16(pairs, 1))};
}
inline Sums dot(Sums sums, Cluster weights, Quad quad) {
  const int8x16_t* w = weights.v;
  // One after the other four times, so that none waits for the one before.
  int16x8_t products[4] = {
      vmull_s8(vget_low_s8(w[0]), vget_low_s8(quad.first)), vmull_high_s8(w[0], quad.first),
      vmull_s8(vget_low_s8(w[1]), vget_low_s8(quad.first)), vmull_high_s8(w[1], quad.first)};
  products[0] = vmlal_s8(products[0], vget_low_s8(w[2]), vget_low_s8(quad.second));
  products[1] = vmlal_high_s8(products[1], w[2], quad.second);
  products[2] = vmlal_s8(products[2], vget_low_s8(w[3]), vget_low_s8(quad.second));
  products[3] = vmlal_high_s8(products[3], w[3], quad.second);
  return {{vpadalq_s16(sums.v[0], products[0]), vpadalq_s16(sums.v[1], products[1]),
           vpadalq_s16(sums.v[2], products[2]), vpadalq_s16(sums.v[3], products[3])}};
}

// Conversions and the steps to half the bits keep to the range.
inline Bytes to_bytes(Sums sums, const float* factor, const float* term, int low) {
  const auto rounded = [&](ptrdiff_t quarter) {
    return vcvtnq_u32_f32(scaled(sums.v[quarter], factor + 4 * quarter, term + 4 * quarter));
  };
  const uint16x8_t halves[] = {vqmovn_high_u32(vqmovn_u32(rounded(0)), rounded(1)),
                               vqmovn_high_u32(vqmovn_u32(rounded(2)), rounded(3))};
  const uint8x16_t activations = vqmovn_high_u16(vqmovn_u16(halves[0]), halves[1]);
  return {less_128(vmaxq_u8(activations, vdupq_n_u8(static_cast<uint8_t>(low))))};
}

#else

constexpr int kMaxIntegerTile = 2;  // 8 sums, 2 of activations, 2 products and 4 weights: all 16 registers

// From memory: what comes from other registers is slow there.
inline Quad broadcast_quad(const uint8_t* p) {
  const auto* pairs = reinterpret_cast<const int16_t*>(p);
  return {vreinterpretq_s8_s16(vld1q_dup_s16(pairs)), vreinterpretq_s8_s16(vld1q_dup_s16(pairs + 1))};
}
// Of eight outputs at a time: for the products of all there are no registers.
inline Sums dot(Sums sums, Cluster weights, Quad quad) {
  const int8x8_t first = vget_low_s8(quad.first), second = vget_low_s8(quad.second);
  for (int half = 0; half < 2; ++half) {
    const int8x16_t w[] = {weights.v[half], weights.v[2 + half]};
    int32x4_t* sum = sums.v + ptrdiff_t{2} * half;
    const int16x8_t low = vmull_s8(vget_low_s8(w[0]), first), high = vmull_s8(vget_high_s8(w[0]), first);
    sum[0] = vpadalq_s16(sum[0], vmlal_s8(low, vget_low_s8(w[1]), second));
    sum[1] = vpadalq_s16(sum[1], vmlal_s8(high, vget_high_s8(w[1]), second));
  }
  return sums;
}

// Rounded by an addition (kNoFraction), as no instruction rounds to even.
inline Bytes to_bytes(Sums sums, const float* factor, const float* term, int low) {
  const float32x4_t lowest = vdupq_n_f32(static_cast<float>(low)), highest = vdupq_n_f32(255);
  const auto rounded = [&](ptrdiff_t quarter) {
    const float32x4_t value = scaled(sums.v[quarter], factor + 4 * quarter, term + 4 * quarter);
    const float32x4_t in_range = vminq_f32(vmaxq_f32(value, lowest), highest);
    return vmovn_u32(vreinterpretq_u32_f32(vaddq_f32(in_range, vdupq_n_f32(kNoFraction))));
  };
  const uint8x8_t halves[] = {vmovn_u16(vcombine_u16(rounded(0), rounded(1))),
                              vmovn_u16(vcombine_u16(rounded(2), rounded(3)))};
  return {less_128(vcombine_u8(halves[0], halves[1]))};
}

#endif

}  // namespace
}  // namespace squish
