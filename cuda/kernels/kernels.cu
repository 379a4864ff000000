// Every kernel, compiled for every architecture of the build.
#include <limits>

#include "cuda/kernels/launchers.h"

namespace squish {
namespace cuda {
namespace {

cudaError_t load(const void* const* kernels, size_t count, int* compiled_for) {
  for (size_t k = 0; k < count; ++k) {
    cudaFuncAttributes attributes;
    const cudaError_t status = cudaFuncGetAttributes(&attributes, kernels[k]);
    if (status != cudaSuccess) return status;
    if (attributes.ptxVersion < *compiled_for) *compiled_for = attributes.ptxVersion;
  }
  return cudaSuccess;
}

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
  return load(kernels, sizeof kernels / sizeof *kernels, compiled_for);
}

cudaError_t load_integer_kernels(int* compiled_for) {
  const void* const kernels[] = {
      reinterpret_cast<const void*>(integer_conv<1, false>),
      reinterpret_cast<const void*>(integer_conv<1, true>),
      reinterpret_cast<const void*>(integer_conv<2, false>),
      reinterpret_cast<const void*>(integer_conv<2, true>),
      reinterpret_cast<const void*>(integer_conv_pooled<ByteQuad, false>),
      reinterpret_cast<const void*>(integer_conv_pooled<ByteQuad, true>),
      reinterpret_cast<const void*>(integer_conv_pooled<FloatQuad, false>),
      reinterpret_cast<const void*>(integer_conv_pooled<FloatQuad, true>),
      reinterpret_cast<const void*>(integer_conv_mma<1, 1>),
      reinterpret_cast<const void*>(integer_conv_mma<1, 2>),
      reinterpret_cast<const void*>(integer_conv_mma<2, 1>),
      reinterpret_cast<const void*>(integer_conv_mma<2, 2>),
      reinterpret_cast<const void*>(integer_conv_mma_pooled<ByteQuad, 1, 1>),
      reinterpret_cast<const void*>(integer_conv_mma_pooled<ByteQuad, 1, 2>),
      reinterpret_cast<const void*>(integer_conv_mma_pooled<ByteQuad, 2, 1>),
      reinterpret_cast<const void*>(integer_conv_mma_pooled<ByteQuad, 2, 2>),
      reinterpret_cast<const void*>(integer_conv_mma_pooled<FloatQuad, 1, 1>),
      reinterpret_cast<const void*>(integer_conv_mma_pooled<FloatQuad, 1, 2>),
      reinterpret_cast<const void*>(integer_conv_mma_pooled<FloatQuad, 2, 1>),
      reinterpret_cast<const void*>(integer_conv_mma_pooled<FloatQuad, 2, 2>),
      reinterpret_cast<const void*>(integer_max_pool<ByteQuad>),
      reinterpret_cast<const void*>(integer_max_pool<FloatQuad>),
      reinterpret_cast<const void*>(integer_average<ByteQuad>),
      reinterpret_cast<const void*>(integer_average<FloatQuad>),
      reinterpret_cast<const void*>(integer_add<ByteQuad>),
      reinterpret_cast<const void*>(integer_add<FloatQuad>),
      reinterpret_cast<const void*>(integer_input<ByteQuad>),
      reinterpret_cast<const void*>(integer_input<FloatQuad>),
  };
  return load(kernels, sizeof kernels / sizeof *kernels, compiled_for);
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

const IntegerKernelTable& integer_kernels() {
  static const IntegerKernelTable table = make_integer_kernel_table();
  return table;
}

cudaError_t load_kernels(int* compiled_for) {
  *compiled_for = std::numeric_limits<int>::max();
  cudaError_t status = load_kernels_of<float>(compiled_for);
  if (status == cudaSuccess) status = load_kernels_of<__half>(compiled_for);
  return status != cudaSuccess ? status : load_integer_kernels(compiled_for);
}

}  // namespace cuda
}  // namespace squish
