// Integer arithmetic: the dot products of Armv8.2 (dotprod). sdot multiplies 16 bytes and adds them to 4 sums.
#pragma once

#include "cpu/isa/integers_arm.h"

namespace squish {
namespace {

// 20 sums, 4 weights and 5 quads of the 32 registers: GCC reads all quads of a column before their products.
constexpr int kMaxIntegerTile = 5;
// Cycles of a model of Cortex-A76 (tools/bench/model_kernels.py, neoverse-n1), which takes 2 for a 16x1 cluster in floats,
// too. No Arm has been measured.
constexpr IntegerCosts kCosts{2, 2, 12};

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

}  // namespace
}  // namespace squish
