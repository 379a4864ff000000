// The small vector type of the kernels: NEON of 64-bit Arm, and of 32-bit Arm with fused multiply-adds (VFPv4), which flushes
// denormals whatever FPSCR says. 16 channels are four registers.
#pragma once

#include <arm_neon.h>
#include <stdint.h>

namespace squish {
namespace {

constexpr int kVecs = 4;
#if defined(__aarch64__)
// 20 accumulators, 4 weights and 5 activations of the 32 registers: GCC reads all activations of a column before their
// products, which cores that work in order need; with 6 pixels it kept three accumulators in memory.
constexpr int kMaxTile = 5;
#else
constexpr int kMaxTile = 2;  // 8 accumulators, 4 weights and 2 activations of the 16 registers
#endif
constexpr int kMaxGroup = 1;
constexpr double kClusterCost = 2;  // as those of integers_neon*.h have it

struct Vec {
  float32x4_t v;
};
constexpr int kLanes = 4;

inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline void store(float* p, Vec a) { vst1q_f32(p, a.v); }
inline Vec broadcast(const float* p) { return {vld1q_dup_f32(p)}; }
inline Vec add(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec sub(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
// NaN where one is NaN.
inline Vec max(Vec a, Vec b) { return {vmaxq_f32(a.v, b.v)}; }
inline Vec max_or_nan(Vec a, Vec b) { return max(a, b); }
inline Vec mul_add(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }

// 16 pixels of three bytes to three planes.
inline void load_rgb(const uint8_t* pixels, Vec (*planes)[kVecs]) {
  const uint8x16x3_t split = vld3q_u8(pixels);
  for (int c = 0; c < 3; ++c) {
    const uint16x8_t halves[2] = {vmovl_u8(vget_low_u8(split.val[c])), vmovl_u8(vget_high_u8(split.val[c]))};
    for (int h = 0; h < 2; ++h) {
      planes[c][2 * h] = {vcvtq_f32_u32(vmovl_u16(vget_low_u16(halves[h])))};
      planes[c][2 * h + 1] = {vcvtq_f32_u32(vmovl_u16(vget_high_u16(halves[h])))};
    }
  }
}

}  // namespace
}  // namespace squish
