// The kernel table of one instruction set. Its file includes its vec_*.h, then this.
#pragma once

#include "cpu/isa/conv-inl.h"
#include "cpu/isa/max_pool-inl.h"
#include "cpu/isa/pixels-inl.h"
#include "cpu/isa/pool-inl.h"
#include "cpu/isa/winograd-inl.h"
#include "cpu/kernel_table.h"

namespace squish {
namespace {

// A maximum with NaN is NaN, as PyTorch's.
struct FloatPool {
  using Task = PoolTask;
  using Value = float;
  using Register = Vec;
  static constexpr int kRegisters = kVecs, kLanes = squish::kLanes;
  static Register load_values(const float* p) { return load(p); }
  static void store_values(float* p, Register a) { store(p, a); }
  static Register larger(Register a, Register b) { return max_or_nan(a, b); }
};

constexpr KernelTable make_table(const char* isa) {
  return {isa,
          kMaxGroup,
          kClusterCost,
          {{conv_kernel<1, 1>(), conv_kernel<1, 2>()},
           {conv_kernel<2, 1>(), conv_kernel<2, 2>()},
           {conv_kernel<16, 1>(), conv_kernel<16, 2>()}},
          {conv_kernel<0, 1>(), conv_kernel<0, 2>()},
          &winograd_input,
          &winograd_output,
          &max_pool<FloatPool>,
          &average,
          &add,
          &pixels,
          &all_finite};
}

}  // namespace
}  // namespace squish
