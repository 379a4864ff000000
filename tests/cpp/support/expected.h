// What a float32 result must be, give or take a bound that is computed, not chosen.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace squish::testing {

struct Expected {
  double wanted = 0, bound = 0;
};

// A sum of products in double. A float32 sum of n terms, in any order, fused or not, is off by at most about
// n eps sum|w x|, eps = 2^-24; twice that leaves room for second-order terms and a rounding before or after.
class BoundedSum {
 public:
  void add(double product) {
    value_ += product;
    magnitude_ += std::abs(product);
    ++terms_;
  }
  Expected expected() const { return {value_, 2 * terms_ * kEps * magnitude_}; }

 private:
  static constexpr double kEps = 1.0 / (1 << 24);
  double value_ = 0, magnitude_ = 0;
  int terms_ = 0;
};

// max(floor, .) brings values closer to each other, never farther apart.
inline Expected at_least(double floor, Expected e) { return {std::max(floor, e.wanted), e.bound}; }

// Fills outputs before a kernel runs; kUntouched expects it still there afterwards.
inline constexpr float kCanary = -12345.678f;
inline constexpr Expected kUntouched = {kCanary, 0};

// Whether every got[i] is within expected[i]; if not, names the worst. NaN is never within, nothing is within a
// bound that is not finite.
::testing::AssertionResult all_within(const float* got, const std::vector<Expected>& expected);

// Whether they are the same, bit for bit.
::testing::AssertionResult all_equal(const std::vector<float>& got, const std::vector<float>& wanted);

}  // namespace squish::testing
