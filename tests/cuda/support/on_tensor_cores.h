#pragma once

#include <gtest/gtest.h>

#include "support/test_runtime.h"

namespace squish::testing {

// For kernels that trap on devices without: the device is lost then, for all tests that follow.
class OnTensorCores : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!make_test_runtime()->properties().tensor_cores) GTEST_SKIP() << "the device has none";
  }
};

}  // namespace squish::testing
