// What device code is written in, the one include of every kernel: CUDA's own words, or the emulator's, which runs the
// same source on the CPU for tests. C++14, so that CUDA 10 still compiles it for the first Jetsons.
//
//   SQUISH_UNROLL                          before a loop over registers
//   SQUISH_UNROLL_BY(n)                    before a loop whose loads shall be under way n times at once
//   SQUISH_SHARED(Type, name, count)       an array that the block's threads share, 16-byte aligned
//   SQUISH_DYNAMIC_SHARED(Type, name)      the one whose size the launch gives
//   wait_for_earlier_kernels()             before the first look at what they write: where the device lets a kernel begin
//                                          before the one in front of it has ended
//   launch(kernel, grid, threads, dynamic_bytes, stream, task)   the one way to start a kernel
#pragma once

#ifdef __CUDACC__

#include <cuda_fp16.h>

#define SQUISH_UNROLL _Pragma("unroll")
#define SQUISH_PRAGMA(text) _Pragma(#text)
#define SQUISH_UNROLL_BY(n) SQUISH_PRAGMA(unroll n)
#define SQUISH_SHARED(Type, name, count) __shared__ __align__(16) Type name[count]
#define SQUISH_DYNAMIC_SHARED(Type, name)                        \
  extern __shared__ __align__(16) unsigned char dynamic_bytes[]; \
  Type* const name = reinterpret_cast<Type*>(dynamic_bytes)

namespace squish {
namespace cuda {

__device__ inline void wait_for_earlier_kernels() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");  // whose beginnings need not wait for us
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace cuda
}  // namespace squish

#ifndef __CUDACC_RTC__  // has no host side

#include "cuda/runtime_check.h"

namespace squish {
namespace cuda {

template <typename Task>
void launch(void (*kernel)(Task), dim3 grid, unsigned threads, size_t dynamic_bytes, void* stream,
            const Task& task) {
  void* arguments[] = {const_cast<Task*>(&task)};
  launch_kernel(reinterpret_cast<const void*>(kernel), grid, threads, dynamic_bytes, arguments, stream);
}

}  // namespace cuda
}  // namespace squish

#endif
#else
#include "emulator/emulator.h"
#endif
