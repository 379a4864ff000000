// Every call of CUDA's runtime is checked: without a driver, kernels seem to run and compute nothing. C++14: see device.h.
#pragma once

#include <cuda_runtime_api.h>
#include <stddef.h>

namespace squish {
namespace cuda {

// Throws DeviceError that says what failed and why. The error is not kept: the next call begins without it, unless it
// is one that the device does not recover from.
void check(cudaError_t status, const char* what);

// Loads every kernel onto the current device, which the driver would otherwise put off until their first launch: in the middle
// of a run. Fails where they were not compiled for it. *compiled_for: 80 for compute capability 8.0; it is less than the
// device's where the driver made its code from that of an older one, which has no more than that one's instructions.
cudaError_t load_kernels(int* compiled_for);

// Starts a kernel on the stream, or, where this thread is in Runtime::record(), adds it to what is recorded. arguments: a
// pointer to each, which are copied. Throws like check().
void launch_kernel(const void* kernel, dim3 grid, unsigned threads, size_t dynamic_bytes, void** arguments,
                   void* stream);

}  // namespace cuda
}  // namespace squish
