// Every kernel, compiled for every architecture of the build.
#include <limits>

#include "cuda/kernels/launchers.h"

namespace squish {
namespace cuda {
namespace {

template <typename T>
cudaError_t load_kernels_of(int* compiled_for) {
  const void* const kernels[] = {
      reinterpret_cast<const void*>(conv<T, 1, false>),
      reinterpret_cast<const void*>(conv<T, 1, true>),
      reinterpret_cast<const void*>(conv<T, 2, false>),
      reinterpret_cast<const void*>(conv<T, 2, true>),
      reinterpret_cast<const void*>(conv_pooled<T, false>),
      reinterpret_cast<const void*>(conv_pooled<T, true>),
      reinterpret_cast<const void*>(fire<T, false>),
      reinterpret_cast<const void*>(fire<T, true>),
      reinterpret_cast<const void*>(max_pool<T>),
      reinterpret_cast<const void*>(average<T>),
      reinterpret_cast<const void*>(average_blocks<T>),
      reinterpret_cast<const void*>(add<T>),
      reinterpret_cast<const void*>(read_pixels<T>),
      reinterpret_cast<const void*>(read_floats<T>),
      reinterpret_cast<const void*>(write_floats<T>),
      reinterpret_cast<const void*>(read_quads<T>),
      reinterpret_cast<const void*>(conv_mma<T, 1, 1>),
      reinterpret_cast<const void*>(conv_mma<T, 1, 2>),
      reinterpret_cast<const void*>(conv_mma<T, 2, 1>),
      reinterpret_cast<const void*>(conv_mma<T, 2, 2>),
      reinterpret_cast<const void*>(conv_mma_pooled<T, 1, 1>),
      reinterpret_cast<const void*>(conv_mma_pooled<T, 1, 2>),
      reinterpret_cast<const void*>(conv_mma_pooled<T, 2, 1>),
      reinterpret_cast<const void*>(conv_mma_pooled<T, 2, 2>),
      reinterpret_cast<const void*>(fire_mma<T, false>),
      reinterpret_cast<const void*>(fire_mma<T, true>),
  };
  for (const void* kernel : kernels) {
    cudaFuncAttributes attributes;
    const cudaError_t status = cudaFuncGetAttributes(&attributes, kernel);
    if (status != cudaSuccess) return status;
    if (attributes.ptxVersion < *compiled_for) *compiled_for = attributes.ptxVersion;
  }
  return cudaSuccess;
}

}  // namespace

const KernelTable<float>& float_kernels() {
  static const KernelTable<float> table = make_kernel_table<float>();
  return table;
}

const KernelTable<__half>& half_kernels() {
  static const KernelTable<__half> table = make_kernel_table<__half>();
  return table;
}

cudaError_t load_kernels(int* compiled_for) {
  *compiled_for = std::numeric_limits<int>::max();
  const cudaError_t status = load_kernels_of<float>(compiled_for);
  return status != cudaSuccess ? status : load_kernels_of<__half>(compiled_for);
}

}  // namespace cuda
}  // namespace squish
