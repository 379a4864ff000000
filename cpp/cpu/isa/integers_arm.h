// What the integer arithmetics of Arm share: all but the product of a cluster and a quad, and how results become bytes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/integer_kernels.h"
#include "cpu/isa/vec_neon.h"

namespace squish {
namespace {

// Products of signed bytes are what every Arm has.
constexpr int kActivationOffset = 128;
constexpr int kMaxIntegerGroup = 1;
constexpr int kPixelsAtOnce = 1;
constexpr int kClusterBytes = 64;

struct Sums {
  int32x4_t v[4];
};
struct Cluster {
  int8x16_t v[4];
};
struct Bytes {
  int8x16_t v;
};

inline Sums load_sums(const int32_t* p) {
  return {{vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)}};
}
inline Cluster load_cluster(const uint8_t* p) {
  const auto* weights = reinterpret_cast<const int8_t*>(p);
  return {{vld1q_s8(weights), vld1q_s8(weights + 16), vld1q_s8(weights + 32), vld1q_s8(weights + 48)}};
}
// Four activations, in the first half of the register.
inline int8x8_t load_quad(const uint8_t* p) {
  uint32_t quad;
  __builtin_memcpy(&quad, p, sizeof quad);
  return vcreate_s8(quad);
}
// From 0 .. 255 to -128 .. 127.
inline int8x16_t less_128(uint8x16_t a) { return vreinterpretq_s8_u8(veorq_u8(a, vdupq_n_u8(0x80))); }

inline Sums max_sums(Sums a, Sums b) {
  return {{vmaxq_s32(a.v[0], b.v[0]), vmaxq_s32(a.v[1], b.v[1]), vmaxq_s32(a.v[2], b.v[2]),
           vmaxq_s32(a.v[3], b.v[3])}};
}
inline float32x4_t scaled(int32x4_t sums, const float* factor, const float* term) {
  return vaddq_f32(vmulq_f32(vcvtq_f32_s32(sums), vld1q_f32(factor)), vld1q_f32(term));
}
// fmax would take 0 before -0, which the others keep.
inline void store_floats(uint8_t* p, Sums sums, const float* factor, const float* term, float floor) {
  auto* values = reinterpret_cast<float*>(p);
  const float32x4_t floors = vdupq_n_f32(floor);
  for (ptrdiff_t quarter = 0; quarter < 4; ++quarter) {
    const float32x4_t value = scaled(sums.v[quarter], factor + 4 * quarter, term + 4 * quarter);
    vst1q_f32(values + 4 * quarter, vbslq_f32(vcgtq_f32(floors, value), floors, value));
  }
}

inline Bytes load_bytes(const uint8_t* p) { return {vld1q_s8(reinterpret_cast<const int8_t*>(p))}; }
inline void store_bytes(uint8_t* p, Bytes a) { vst1q_s8(reinterpret_cast<int8_t*>(p), a.v); }
inline Bytes max_bytes(Bytes a, Bytes b) { return {vmaxq_s8(a.v, b.v)}; }
inline Bytes max_bytes(Bytes a, const uint8_t* p) { return max_bytes(a, load_bytes(p)); }

// A byte in the low end of each lane's 32 bits.
inline uint32x4_t round_to_byte(Vec a) {
#if defined(__aarch64__)
  return vminq_u32(vcvtnq_u32_f32(a.v), vdupq_n_u32(255));
#else
  const float32x4_t value = vminq_f32(vmaxq_f32(a.v, vdupq_n_f32(0)), vdupq_n_f32(255));
  return vandq_u32(vreinterpretq_u32_f32(vaddq_f32(value, vdupq_n_f32(kNoFraction))), vdupq_n_u32(255));
#endif
}
// Three values of each pixel, rounded to bytes, and a zero.
inline void store_quads(uint8_t* p, Vec a, Vec b, Vec c) {
  const uint32x4_t two = vsliq_n_u32(round_to_byte(a), round_to_byte(b), 8);
  const uint32x4_t quads = vsliq_n_u32(two, round_to_byte(c), 16);
  store_bytes(p, {less_128(vreinterpretq_u8_u32(quads))});
}

}  // namespace
}  // namespace squish
