// The kernels, over the emulator.
#pragma once

#include "cuda/kernel_table.h"

struct __half;

namespace squish::cuda {

const KernelTable<float>& emulated_kernels();
// Stored in half precision, computed in single.
const KernelTable<__half>& emulated_half_kernels();

}  // namespace squish::cuda
