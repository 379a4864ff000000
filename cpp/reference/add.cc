#include <algorithm>
#include <cmath>

#include "reference/ops.h"

namespace squish::reference {

Activation add(const Activation& a, const Activation& b, bool relu) {
  Activation out = a;
  for (size_t i = 0; i < out.value.size(); ++i) {
    const double sum = a.value[i] + b.value[i];
    out.value[i] = relu ? std::max(sum, 0.0) : sum;
    if (a.tracks_variance()) {
      const double rounding = kUnitRoundoff * sum;
      // A bypass adds a layer to its own ancestor: the errors may be correlated, so deviations add.
      const double deviation = std::sqrt(a.variance[i]) + std::sqrt(b.variance[i]);
      out.variance[i] = deviation * deviation + rounding * rounding;
    }
  }
  return out;
}

}  // namespace squish::reference
