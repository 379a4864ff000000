// Tensor cores: what the 32 lanes of a warp multiply together. From compute capability 8.0; on older devices these compile,
// and trap. All lanes of the warp come to the same call.
//
// A is 16 x k, B is k x 8, their product is added to `sums`, 16 x 8 in float32. Each lane holds a part of each in its
// registers. With g = lane / 4, t = lane % 4, as (row, column):
//
//   sums, both:            [0] (g, 2t)           [1] (g, 2t + 1)           [2] (g + 8, 2t)      [3] (g + 8, 2t + 1)
//   mma_f16, k = 16, two halves a register, the one of the lower k in the lower bits:
//     a:  [0] (g, 2t..2t + 1)      [1] (g + 8, 2t..2t + 1)      [2] (g, 2t + 8..2t + 9)   [3] (g + 8, 2t + 8..2t + 9)
//     b:  [0] (2t..2t + 1, g)      [1] (2t + 8..2t + 9, g)
//   mma_tf32, k = 8, a float32 a register, of which only the upper 19 bits are read:
//     a:  [0] (g, t)               [1] (g + 8, t)               [2] (g, t + 4)            [3] (g + 8, t + 4)
//     b:  [0] (t, g)               [1] (t + 4, g)
//   mma_i8, k = 16 or 32, four bytes a register, the one of the lowest k in the lowest bits; A's are signed, B's are not, sums
//   are int32 and wrap around:
//     a:  [0] (g, 4t..4t + 3)      [1] (g + 8, 4t..4t + 3)      of 32 also [2], [3]: the same with 4t + 16..4t + 19
//     b:  [0] (4t..4t + 3, g)                                   of 32 also [1]: (4t + 16..4t + 19, g)
//
// Of integers all is exact. Of floats products are. In which order hardware adds them is not specified, nor how it rounds on
// the way: it aligns the terms to the largest and cuts off. The emulator rounds once, to nearest, so comparisons with a GPU
// need a bound.
#pragma once

#include <stdint.h>

#include "cuda/kernels/device.h"

#ifdef __CUDACC__

namespace squish {
namespace cuda {

// Volatile: a call that moved behind a branch would no longer be the whole warp's.
__device__ inline void mma_f16(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

__device__ inline void mma_tf32(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

__device__ inline void mma_i8(int32_t (&sums)[4], const uint32_t (&a)[2], const uint32_t (&b)[1]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(b[0]));
#else
  __trap();
#endif
}

__device__ inline void mma_i8(int32_t (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

// The larger; NaN where one is.
__device__ inline float larger_float(float a, float b) {
  float larger = 0;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
#else
  __trap();
#endif
  return larger;
}

// Of each of two halves.
__device__ inline uint32_t larger_halves(uint32_t a, uint32_t b) {
  uint32_t larger = 0;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(larger) : "r"(a), "r"(b));
#else
  __trap();
#endif
  return larger;
}

// Two registers from device memory, or zeros where there is nothing to read. Left to themselves compilers branch around the
// load.
__device__ inline void load_if(bool there, const void* at, uint32_t (&to)[2]) {
  asm volatile(
      "{ .reg .pred there; setp.ne.u32 there, %3, 0; mov.u32 %0, 0; mov.u32 %1, 0; "
      "@there ld.global.v2.u32 {%0, %1}, [%2]; }"
      : "=r"(to[0]), "=r"(to[1])
      : "l"(at), "r"(static_cast<uint32_t>(there))
      : "memory");
}

// So many registers into device memory at once, at an address that is a multiple of their size. Left to themselves compilers
// store one after the other.
__device__ inline void store_words(void* at, const uint32_t (&words)[2]) {
  asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(at), "r"(words[0]), "r"(words[1]) : "memory");
}
__device__ inline void store_words(void* at, const uint32_t (&words)[4]) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(at), "r"(words[0]), "r"(words[1]),
               "r"(words[2]), "r"(words[3])
               : "memory");
}

}  // namespace cuda
}  // namespace squish

#else
#include "emulator/tensor_cores.h"
#endif
