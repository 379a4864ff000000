// Integer arithmetic: the dot products of Armv8.2 (dotprod). sdot multiplies 16 bytes and adds them to 4 sums.
#pragma once

#include "cpu/isa/integers_arm.h"

namespace squish {
namespace {

// 20 sums, 4 weights and 5 quads of the 32 registers: GCC reads all quads of a column before their products.
constexpr int kMaxIntegerTile = 5;
// Cycles of a model of Cortex-A76 (tools/bench/model_kernels.py, neoverse-n1), which takes 2 for a 16x1 cluster in floats,
// too. No Arm has been measured.
constexpr IntegerCosts kCosts{2, 2, 9};

struct Quad {
  int8x8_t v;  // in the first half
};

inline void pack_clusters(const int8_t* clusters, ptrdiff_t count, uint8_t* packed) {
  if (count > 0) __builtin_memcpy(packed, clusters, static_cast<size_t>(count) * kClusterBytes);
}

inline Quad broadcast_quad(const uint8_t* p) { return {load_quad(p)}; }  // sdot does the broadcast
inline Sums dot(Sums sums, Cluster weights, Quad quad) {
  return {{vdotq_lane_s32(sums.v[0], weights.v[0], quad.v, 0),
           vdotq_lane_s32(sums.v[1], weights.v[1], quad.v, 0),
           vdotq_lane_s32(sums.v[2], weights.v[2], quad.v, 0),
           vdotq_lane_s32(sums.v[3], weights.v[3], quad.v, 0)}};
}

// Rounded by an addition (kNoFraction); 128 less, the lowest byte is the signed one. Cores with dot products have one pipe for
// conversions, but two that add.
inline Bytes to_bytes(Sums sums, const float* factor, const float* term, int low) {
  const float32x4_t lowest = vdupq_n_f32(static_cast<float>(low)), highest = vdupq_n_f32(255);
  const float32x4_t no_fraction = vdupq_n_f32(kNoFraction - 128);
  const auto rounded = [&](ptrdiff_t quarter) {
    const float32x4_t value = scaled(sums.v[quarter], factor + 4 * quarter, term + 4 * quarter);
    return vreinterpretq_s16_f32(vaddq_f32(vminq_f32(vmaxq_f32(value, lowest), highest), no_fraction));
  };
  const int16x8_t halves[] = {vuzp1q_s16(rounded(0), rounded(1)), vuzp1q_s16(rounded(2), rounded(3))};
  return {vuzp1q_s8(vreinterpretq_s8_s16(halves[0]), vreinterpretq_s8_s16(halves[1]))};
}

}  // namespace
}  // namespace squish
