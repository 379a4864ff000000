// The loop of one instruction set. Its file includes the vec_*.h of the kernels, then this.
#pragma once

#include "bench/fma_peak.h"
#include "cpu/isa/unroll-inl.h"

namespace squish::bench {
namespace {

// kSums accumulators: as many as the multipliers can have under way, as few as stay in registers. Fused: sum + b c, the
// only form that overwrites no operand on Arm. Else sum b + c, as a compiler would compute b c but once.
template <int kSums, bool kFused>
float multiply_add(int64_t rounds) {
  const float factor = 0.999f, addend = 1e-6f;  // sums become neither denormal nor infinite
  const Vec b = broadcast(&factor), c = broadcast(&addend);
  Vec sums[kSums];  // all different: a compiler computes equal ones but once
  sums[0] = b;
  unroll<kSums - 1>([&](auto i) SQUISH_LAMBDA_INLINE { sums[i + 1] = add(sums[i], b); });
  for (int64_t r = 0; r < rounds; ++r) {
    unroll<kSums>([&](auto i) SQUISH_LAMBDA_INLINE {
      sums[i] = kFused ? mul_add(b, c, sums[i]) : mul_add(sums[i], b, c);
    });
  }
  // Unrolled as well: sums that any loop indexes live in memory, and the one above would store them.
  unroll<kSums - 1>([&](auto i) SQUISH_LAMBDA_INLINE { sums[0] = add(sums[0], sums[i + 1]); });
  float lanes[kLanes];
  store(lanes, sums[0]);
  return lanes[0];
}

template <int kSums, bool kFused>
constexpr FmaLoop make_fma_loop(const char* isa) {
  return {isa, int64_t{2} * kSums * kLanes, &multiply_add<kSums, kFused>};
}

}  // namespace
}  // namespace squish::bench
