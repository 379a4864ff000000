#include "support/emulated_kernels.h"

#include "cuda/kernels/launchers.h"

namespace squish::cuda {

const KernelTable<float>& emulated_kernels() {
  static const KernelTable<float> table = make_kernel_table<float>();
  return table;
}

const KernelTable<__half>& emulated_half_kernels() {
  static const KernelTable<__half> table = make_kernel_table<__half>();
  return table;
}

const IntegerKernelTable& emulated_integer_kernels() {
  static const IntegerKernelTable table = make_integer_kernel_table();
  return table;
}

}  // namespace squish::cuda
