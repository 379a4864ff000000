#include "support/test_runtime.h"

namespace squish::testing {

bool measuring_is_quick() { return false; }

std::unique_ptr<cuda::Runtime> make_test_runtime() { return cuda::make_cuda_runtime(0); }

}  // namespace squish::testing
