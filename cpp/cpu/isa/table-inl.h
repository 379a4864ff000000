// The kernel table of one instruction set. Its file includes its vec_*.h, then this.
#pragma once

#include "cpu/isa/conv-inl.h"
#include "cpu/isa/pixels-inl.h"
#include "cpu/isa/pool-inl.h"
#include "cpu/isa/winograd-inl.h"
#include "cpu/kernel_table.h"

namespace squish {
namespace {

constexpr KernelTable make_table(const char* isa) {
  return {isa,
          kMaxGroup,
          {{conv_kernel<1, 1>(), conv_kernel<1, 2>()},
           {conv_kernel<2, 1>(), conv_kernel<2, 2>()},
           {conv_kernel<16, 1>(), conv_kernel<16, 2>()}},
          {conv_kernel<0, 1>(), conv_kernel<0, 2>()},
          &winograd_input,
          &winograd_output,
          &max_pool,
          &average,
          &add,
          &pixels,
          &all_finite};
}

}  // namespace
}  // namespace squish
