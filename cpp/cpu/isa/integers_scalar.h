// Integer arithmetic in plain C++.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/integer_kernels.h"
#include "cpu/isa/vec_scalar.h"

namespace squish {
namespace {

constexpr int kMaxIntegerTile = 2;
constexpr int kMaxIntegerGroup = 1;
constexpr int kPixelsAtOnce = 1;
constexpr int kActivationOffset = 0;
constexpr int kClusterBytes = 64;
constexpr IntegerCosts kCosts{18, 18, 2};

struct Sums {
  int32_t v[16];
};
struct Cluster {
  const int8_t* v;  // [16][4]
};
struct Quad {
  int v[4];
};
struct Bytes {
  uint8_t v[16];
};

inline void pack_clusters(const int8_t* clusters, ptrdiff_t count, uint8_t* packed) {
  __builtin_memcpy(packed, clusters, static_cast<size_t>(count) * kClusterBytes);
}

inline Sums load_sums(const int32_t* p) {
  Sums sums;
  __builtin_memcpy(sums.v, p, sizeof sums.v);
  return sums;
}
inline Cluster load_cluster(const uint8_t* p) { return {reinterpret_cast<const int8_t*>(p)}; }
inline Quad broadcast_quad(const uint8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
inline Sums dot(Sums sums, Cluster weights, Quad quad) {
  for (int o = 0; o < 16; ++o) {
    for (int i = 0; i < 4; ++i) sums.v[o] += weights.v[4 * o + i] * quad.v[i];
  }
  return sums;
}

inline Sums max_sums(Sums a, Sums b) {
  for (int o = 0; o < 16; ++o) a.v[o] = a.v[o] > b.v[o] ? a.v[o] : b.v[o];
  return a;
}
inline uint8_t round_to_byte(float value, float low) {
  value = value > low ? value : low;
  value = value < 255 ? value : 255;
  const float rounded = value + kNoFraction;
  return static_cast<uint8_t>(rounded - kNoFraction);
}
inline Bytes to_bytes(Sums sums, const float* factor, const float* term, int low) {
  Bytes bytes;
  for (int o = 0; o < 16; ++o) {
    const float scaled = static_cast<float>(sums.v[o]) * factor[o] + term[o];
    bytes.v[o] = round_to_byte(scaled, static_cast<float>(low));
  }
  return bytes;
}
inline void store_floats(uint8_t* p, Sums sums, const float* factor, const float* term, float floor) {
  float values[16];
  for (int o = 0; o < 16; ++o) {
    const float scaled = static_cast<float>(sums.v[o]) * factor[o] + term[o];
    values[o] = floor > scaled ? floor : scaled;
  }
  __builtin_memcpy(p, values, sizeof values);
}

inline Bytes load_bytes(const uint8_t* p) {
  Bytes bytes;
  __builtin_memcpy(bytes.v, p, sizeof bytes.v);
  return bytes;
}
inline void store_bytes(uint8_t* p, Bytes a) { __builtin_memcpy(p, a.v, sizeof a.v); }
inline Bytes max_bytes(Bytes a, Bytes b) {
  for (int i = 0; i < 16; ++i) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}

inline Bytes max_bytes(Bytes a, const uint8_t* p) { return max_bytes(a, load_bytes(p)); }

// Three values of each pixel, rounded to bytes, and a zero.
inline void store_quads(uint8_t* p, Vec a, Vec b, Vec c) {
  for (int i = 0; i < kLanes; ++i, p += 4) {
    p[0] = round_to_byte(a.v[i], 0);
    p[1] = round_to_byte(b.v[i], 0);
    p[2] = round_to_byte(c.v[i], 0);
    p[3] = 0;
  }
}

}  // namespace
}  // namespace squish
