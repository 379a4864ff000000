// Every call of CUDA's runtime is checked: without a driver, kernels seem to run and compute nothing. C++14: see device.h.
#pragma once

#include <cuda_runtime_api.h>
#include <stddef.h>

namespace squish {
namespace cuda {

// Throws DeviceError that says what failed and why. The error is not kept: the next call begins without it, unless it
// is one that the device does not recover from.
void check(cudaError_t status, const char* what);

// Of asking for every kernel on the current device: an error where they were not compiled for its architecture. It loads
// them, which the driver would otherwise put off until their first launch: in the middle of a run.
cudaError_t kernel_status();

// Starts a kernel on the stream, or, where this thread is in Runtime::record(), adds it to what is recorded. arguments: a
// pointer to each, which are copied. Throws like check().
void launch_kernel(const void* kernel, dim3 grid, unsigned threads, size_t dynamic_bytes, void** arguments,
                   void* stream);

}  // namespace cuda
}  // namespace squish
