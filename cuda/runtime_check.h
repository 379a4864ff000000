// Every call of CUDA's runtime is checked: without a driver, kernels seem to run and compute nothing.
#pragma once

#include <cuda_runtime_api.h>

namespace squish {
namespace cuda {

// Throws DeviceError that says what failed and why. The error is not kept: the next call begins without it, unless it
// is one that the device does not recover from.
void check(cudaError_t status, const char* what);

// Of asking for every kernel on the current device: an error where they were not compiled for its architecture. It loads
// them, which the driver would otherwise put off until their first launch: in the middle of a recording, where it cannot.
cudaError_t kernel_status();

}  // namespace cuda
}  // namespace squish
