// The small vector type of the kernels: AVX2 with FMA. 16 channels are two registers.
#pragma once

#include <immintrin.h>

#include "cpu/isa/rgb_x86.h"

namespace squish {
namespace {

constexpr int kVecs = 2;
constexpr int kMaxTile = 6;   // 12 accumulators, 2 weights and 1 broadcast of the 16 registers
constexpr int kMaxGroup = 1;  // two blocks would leave 3 pixels a tile and save no load
constexpr double kClusterCost = 1;

struct Vec {
  __m256 v;
};
constexpr int kLanes = 8;

inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline Vec broadcast(const float* p) { return {_mm256_broadcast_ss(p)}; }
inline Vec add(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec sub(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
// The second operand where one is NaN: max(floor, x) lets a NaN in x through.
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
// NaN where one is NaN.
inline Vec max_or_nan(Vec a, Vec b) {
  return {_mm256_blendv_ps(_mm256_max_ps(a.v, b.v), a.v, _mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q))};
}
inline Vec mul_add(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }

// 16 pixels of three bytes to three planes.
inline void load_rgb(const uint8_t* pixels, Vec (*planes)[kVecs]) {
  for (int c = 0; c < 3; ++c) {
    const __m128i plane = rgb_plane(pixels, c);
    planes[c][0] = {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(plane))};
    planes[c][1] = {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(plane, plane)))};
  }
}

}  // namespace
}  // namespace squish
