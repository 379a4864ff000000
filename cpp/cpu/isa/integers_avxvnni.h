// Integer arithmetic: AVX-VNNI, of CPUs without AVX-512. vpdpbusd multiplies 32 bytes and adds them to 8 sums.
#pragma once

#include "cpu/isa/integers_ymm.h"

// The encoding of the instruction. Tests build these kernels once more in that of AVX-512, for the CPUs that have no other.
#ifndef SQUISH_VPDPBUSD
#define SQUISH_VPDPBUSD "%{vex%} vpdpbusd"
#endif

namespace squish {
namespace {

constexpr int kMaxIntegerTile = 6;  // 12 sums, 2 weights and a quad of the 16 registers
constexpr int kClusterBytes = 64;
constexpr IntegerCosts kCosts{0.8, 0.8, 5};  // on Zen 4, in the encoding of AVX-512

struct Cluster {
  __m256i low, high;
};
struct Quad {
  __m256i v;
};

inline void pack_clusters(const int8_t* clusters, ptrdiff_t count, uint8_t* packed) {
  __builtin_memcpy(packed, clusters, static_cast<size_t>(count) * kClusterBytes);
}

inline Cluster load_cluster(const uint8_t* p) { return {load_256(p), load_256(p + 32)}; }
inline Quad broadcast_quad(const uint8_t* p) { return {broadcast_4_bytes(p)}; }
// As text, for the reason that integers_avx512vnni.h gives.
inline Sums dot(Sums sums, Cluster weights, Quad quad) {
  asm(SQUISH_VPDPBUSD " %2, %1, %0" : "+x"(sums.low) : "x"(quad.v), "x"(weights.low));
  asm(SQUISH_VPDPBUSD " %2, %1, %0" : "+x"(sums.high) : "x"(quad.v), "x"(weights.high));
  return sums;
}

}  // namespace
}  // namespace squish
