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

constexpr IntegerKernels make_integer_kernels(const char* isa) {
  return {isa,
          kCosts,
          kMaxIntegerGroup,
          kActivationOffset,
          kClusterBytes,
          false,
          &pack_clusters,
          {{integer_conv_kernel<4, 1>(), integer_conv_kernel<4, 2>()},
           {integer_conv_kernel<8, 1>(), integer_conv_kernel<8, 2>()},
           {integer_conv_kernel<16, 1>(), integer_conv_kernel<16, 2>()}},
          {integer_conv_kernel<0, 1>(), integer_conv_kernel<0, 2>()},
          &max_pool<BytePool>,
          &quads};
}

// The same with another convolution, of one block at a time.
template <typename Conv>
constexpr IntegerKernels with_conv(IntegerKernels kernels) {
  kernels.conv[kQuadStep4][0] = &conv<Conv, 4, 1>;
  kernels.conv[kQuadStep8][0] = &conv<Conv, 8, 1>;
  kernels.conv[kQuadStep16][0] = &conv<Conv, 16, 1>;
  kernels.conv_any_step[0] = &conv<Conv, 0, 1>;
  return kernels;
}

}  // namespace
}  // namespace squish
