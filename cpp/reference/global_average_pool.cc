#include <cmath>

#include "reference/ops.h"

namespace squish::reference {

Activation global_average_pool(const Activation& in) {
  Activation out = make_activation({in.shape.channels, 1, 1}, in.tracks_variance());
  const int pixels = in.shape.height * in.shape.width;
  for (int c = 0; c < in.shape.channels; ++c) {
    const size_t first = in.at(c, 0, 0);
    double sum = 0, magnitude = 0, variance = 0;
    for (size_t i = first; i < first + static_cast<size_t>(pixels); ++i) {
      sum += in.value[i];
      magnitude += std::abs(in.value[i]);
      if (in.tracks_variance()) variance += in.variance[i];
    }
    out.value[static_cast<size_t>(c)] = sum / pixels;
    if (in.tracks_variance()) {
      const double rounding = std::sqrt(pixels + 1.0) * kUnitRoundoff * magnitude;
      out.variance[static_cast<size_t>(c)] = (variance + rounding * rounding) / pixels / pixels;
    }
  }
  return out;
}

}  // namespace squish::reference
