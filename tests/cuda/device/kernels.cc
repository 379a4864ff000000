// The kernels under test, on the GPU: the library's, under the names by which the tests ask for the emulator's.
#include "support/emulated_kernels.h"

namespace squish::cuda {

const KernelTable<float>& float_kernels();
const KernelTable<__half>& half_kernels();
const IntegerKernelTable& integer_kernels();

const KernelTable<float>& emulated_kernels() { return float_kernels(); }
const KernelTable<__half>& emulated_half_kernels() { return half_kernels(); }
const IntegerKernelTable& emulated_integer_kernels() { return integer_kernels(); }

}  // namespace squish::cuda
