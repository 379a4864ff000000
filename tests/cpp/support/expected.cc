#include "support/expected.h"

#include <cstring>

namespace squish::testing {
namespace {

// How many times the error is larger than the bound allows.
double excess(float got, const Expected& e) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (!std::isfinite(e.bound)) return kInfinity;  // allows anything
  const double error = std::abs(double{got} - e.wanted);
  if (error <= e.bound) return 0;
  return std::isnan(error) || e.bound == 0 ? kInfinity : error / e.bound;
}

}  // namespace

::testing::AssertionResult all_within(const float* got, const std::vector<Expected>& expected) {
  size_t worst = 0, count = 0;
  double worst_excess = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double e = excess(got[i], expected[i]);
    if (e > 0) ++count;
    if (e > worst_excess) {
      worst = i;
      worst_excess = e;
    }
  }
  if (count == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << count << " of " << expected.size() << " values are out of bounds, the worst at index " << worst
         << ": got " << got[worst] << ", wanted " << expected[worst].wanted << ", bound "
         << expected[worst].bound;
}

::testing::AssertionResult all_equal(const std::vector<float>& got, const std::vector<float>& wanted) {
  if (got.size() != wanted.size()) {
    return ::testing::AssertionFailure() << "got " << got.size() << " values, wanted " << wanted.size();
  }
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::memcmp(&got[i], &wanted[i], sizeof got[i]) == 0) continue;
    return ::testing::AssertionFailure() << "index " << i << ": got " << got[i] << ", wanted " << wanted[i]
                                         << " (difference " << got[i] - wanted[i] << ")";
  }
  return ::testing::AssertionSuccess();
}

}  // namespace squish::testing
