// The small vector type of the kernels: AVX-512. 16 channels are one register.
#pragma once

#include <immintrin.h>

#include "cpu/isa/rgb_x86.h"

namespace squish {
namespace {

constexpr int kVecs = 1;      // registers a block of 16 channels
constexpr int kMaxTile = 28;  // accumulators of 16 channels that fit the 32 registers
constexpr int kMaxGroup = 2;  // 28 accumulators as 14 pixels x 2 blocks: half the loads a multiply-add
constexpr double kClusterCost = 0.5;  // 0.68 on Zen 4, whose multipliers are of 256 bits

struct Vec {
  __m512 v;
};
constexpr int kLanes = 16;

inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec broadcast(const float* p) { return {_mm512_set1_ps(*p)}; }
inline Vec add(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec sub(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
// The second operand where one is NaN: max(floor, x) lets a NaN in x through.
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
// NaN where one is NaN.
inline Vec max_or_nan(Vec a, Vec b) {
  return {_mm512_mask_max_ps(a.v, _mm512_cmp_ps_mask(a.v, a.v, _CMP_ORD_Q), a.v, b.v)};
}
inline Vec mul_add(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }

// 16 pixels of three bytes to three planes.
inline void load_rgb(const uint8_t* pixels, Vec (*planes)[kVecs]) {
  for (int c = 0; c < 3; ++c) planes[c][0] = {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(rgb_plane(pixels, c)))};
}

}  // namespace
}  // namespace squish
