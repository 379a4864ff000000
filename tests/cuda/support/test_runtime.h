#pragma once

#include <memory>

#include "cuda/runtime.h"

namespace squish::testing {

// What whole nets run on: the emulator in squish_cuda_tests, a GPU in squish_cuda_device_tests.
std::unique_ptr<cuda::Runtime> make_test_runtime();

}  // namespace squish::testing
