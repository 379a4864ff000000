// The kernels under test, on the GPU, under the names by which the tests ask for the emulator's.
#include "cuda/kernels/launchers.h"
#include "support/emulated_kernels.h"

namespace squish {
namespace cuda {

const KernelTable<float>& float_kernels();  // the library's own

const KernelTable<float>& emulated_kernels() { return float_kernels(); }

const KernelTable<__half>& emulated_half_kernels() {
  static const KernelTable<__half> table = make_kernel_table<__half>();
  return table;
}

}  // namespace cuda
}  // namespace squish
