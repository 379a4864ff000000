// Every kernel, compiled for every architecture of the build.
#include "cuda/kernels/launchers.h"

namespace squish {
namespace cuda {

const KernelTable<float>& float_kernels() {
  static const KernelTable<float> table = make_kernel_table<float>();
  return table;
}

cudaError_t kernel_status() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, average<float>);
}

}  // namespace cuda
}  // namespace squish
