// The small vector type of the kernels in plain C++, for CPUs without one of the others.
#pragma once

#include <stdint.h>

namespace squish {
namespace {

constexpr int kLanes = 4;  // compilers turn four floats into whatever register there is
constexpr int kVecs = 4;
constexpr int kMaxTile = 2;  // 8 accumulators, 4 weights: 16 registers of four floats
constexpr int kMaxGroup = 1;
constexpr double kClusterCost = 8;

struct Vec {
  float v[kLanes];
};

template <typename F>
inline Vec map(F f) {
  return {{f(0), f(1), f(2), f(3)}};
}

inline Vec load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
inline void store(float* p, Vec a) {
  for (int i = 0; i < kLanes; ++i) p[i] = a.v[i];
}
inline Vec broadcast(const float* p) { return {{*p, *p, *p, *p}}; }
inline Vec add(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec sub(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec mul(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] * b.v[i]; });
}
// The second operand where one is NaN: max(floor, x) lets a NaN in x through.
inline Vec max(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
// NaN where one is NaN.
inline Vec max_or_nan(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] > b.v[i] || __builtin_isnan(a.v[i]) ? a.v[i] : b.v[i]; });
}
inline Vec mul_add(Vec a, Vec b, Vec c) {
  return map([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}

// 16 pixels of three bytes to three planes.
inline void load_rgb(const uint8_t* pixels, Vec (*planes)[kVecs]) {
  for (int c = 0; c < 3; ++c) {
    for (int i = 0; i < kVecs * kLanes; ++i)
      planes[c][i / kLanes].v[i % kLanes] = static_cast<float>(pixels[3 * i + c]);
  }
}

}  // namespace
}  // namespace squish
