// The kernels, over the emulator.
#pragma once

#include "cuda/kernel_table.h"

struct __half;

namespace squish::cuda {

const KernelTable<float>& emulated_kernels();
// Stored in half precision.
const KernelTable<__half>& emulated_half_kernels();
const IntegerKernelTable& emulated_integer_kernels();

// By the type that they store.
template <typename T>
const KernelTable<T>& kernels_for();
template <>
inline const KernelTable<float>& kernels_for() {
  return emulated_kernels();
}
template <>
inline const KernelTable<__half>& kernels_for() {
  return emulated_half_kernels();
}

}  // namespace squish::cuda
