// What tests of the choosers share.
#pragma once

#include <gtest/gtest.h>

#include "cuda/tasks.h"

namespace squish::testing {

inline constexpr int kExtents[] = {1, 2, 5, 7, 8, 11, 13, 16, 27, 55, 56, 112, 224, 1000};

inline void expect_covers(const cuda::Tiling& tiling, int height, int width) {
  EXPECT_GE(tiling.height * tiling.rows, height);
  EXPECT_LT(tiling.height * (tiling.rows - 1), height) << "the last row of tiles would be empty";
  EXPECT_GE(tiling.width * tiling.columns, width);
  EXPECT_LT(tiling.width * (tiling.columns - 1), width);
}

}  // namespace squish::testing
