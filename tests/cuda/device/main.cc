// The kernel and net tests of tests/cuda on a GPU. Exits with 77, which ctest counts as skipped, where there is none.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (GTEST_FLAG_GET(list_tests)) return RUN_ALL_TESTS();
  // Tests of kernels look at the output when the launch returns, as the emulator lets them. Whole nets may be run with 0.
  setenv("CUDA_LAUNCH_BLOCKING", "1", 0);
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    constexpr int kSkipped = 77;
    std::printf("skipped: no CUDA device: %s\n", cudaGetErrorString(status));
    return kSkipped;
  }
  cudaDeviceProp device{};
  if (cudaGetDeviceProperties(&device, 0) == cudaSuccess) {
    std::printf("on %s, compute capability %d.%d\n", device.name, device.major, device.minor);
  }
  return RUN_ALL_TESTS();
}
