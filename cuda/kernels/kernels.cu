// Every kernel, compiled for every architecture of the build.
#include "cuda/kernels/launchers.h"

namespace squish {
namespace cuda {

const KernelTable<float>& float_kernels() {
  static const KernelTable<float> table = make_kernel_table<float>();
  return table;
}

cudaError_t kernel_status() {
  const void* const kernels[] = {
      reinterpret_cast<const void*>(conv<float, 1, false>),
      reinterpret_cast<const void*>(conv<float, 1, true>),
      reinterpret_cast<const void*>(conv<float, 2, false>),
      reinterpret_cast<const void*>(conv<float, 2, true>),
      reinterpret_cast<const void*>(conv_pooled<float, false>),
      reinterpret_cast<const void*>(conv_pooled<float, true>),
      reinterpret_cast<const void*>(conv_averaged<float, false>),
      reinterpret_cast<const void*>(conv_averaged<float, true>),
      reinterpret_cast<const void*>(fire<float, false>),
      reinterpret_cast<const void*>(fire<float, true>),
      reinterpret_cast<const void*>(max_pool<float>),
      reinterpret_cast<const void*>(average<float>),
      reinterpret_cast<const void*>(add<float>),
      reinterpret_cast<const void*>(read_pixels<float>),
      reinterpret_cast<const void*>(read_floats<float>),
  };
  for (const void* kernel : kernels) {
    cudaFuncAttributes attributes;
    const cudaError_t status = cudaFuncGetAttributes(&attributes, kernel);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}

}  // namespace cuda
}  // namespace squish
