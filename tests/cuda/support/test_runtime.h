#pragma once

#include <memory>

#include "cuda/runtime.h"

namespace squish::testing {

// What whole nets run on: the emulator in squish_cuda_tests, a GPU in squish_cuda_device_tests.
std::unique_ptr<cuda::Runtime> make_test_runtime();

// Whether plans are measured in no time (PlanPolicy::kMeasured); on a GPU it takes a second or so, for which few tests can wait.
bool measuring_is_quick();

}  // namespace squish::testing
