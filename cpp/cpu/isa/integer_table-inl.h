// The integer kernels of one instruction set. Its file includes its integers_*.h, then this.
#pragma once

#include "cpu/integer_kernels.h"
#include "cpu/isa/integer_conv-inl.h"
#include "cpu/isa/max_pool-inl.h"
#include "cpu/isa/quads-inl.h"

namespace squish {
namespace {

struct BytePool {
  using Task = BytePoolTask;
  using Value = uint8_t;
  using Register = Bytes;
  static constexpr int kRegisters = 1, kLanes = 16;
  static Register load_values(const uint8_t* p) { return load_bytes(p); }
  static void store_values(uint8_t* p, Register a) { store_bytes(p, a); }
  static Register larger(Register a, Register b) { return max_bytes(a, b); }
};

template <template <bool kPooled> class Conv>
constexpr IntegerKernels make_integer_kernels(const char* isa) {
  IntegerKernels kernels{isa,
                         kCosts,
                         kMaxIntegerGroup,
                         kActivationOffset,
                         kClusterBytes,
                         false,
                         &pack_clusters,
                         {},
                         {},
                         &max_pool<BytePool>,
                         &quads};
  set_conv_kernels<Conv<false>>(kernels.conv);
  set_conv_kernels<Conv<true>>(kernels.conv_pooled);
  return kernels;
}

}  // namespace
}  // namespace squish
