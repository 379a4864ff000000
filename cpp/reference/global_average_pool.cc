#include <cmath>

#include "reference/ops.h"

namespace squish::reference {

Activation global_average_pool(const Activation& in) {
  Activation out = make_activation({in.shape.channels, 1, 1}, in.tracks_variance());
  const int pixels = in.shape.height * in.shape.width;
  for (int c = 0; c < in.shape.channels; ++c) {
    const size_t first = in.at(c, 0, 0);
    double sum = 0, magnitude = 0, deviation = 0;
    for (size_t i = first; i < first + static_cast<size_t>(pixels); ++i) {
      sum += in.value[i];
      magnitude += std::abs(in.value[i]);
      if (in.tracks_variance()) deviation += std::sqrt(in.variance[i]);
    }
    out.value[static_cast<size_t>(c)] = sum / pixels;
    if (in.tracks_variance()) {
      // Pixels share their weights; where these are zero, pixels are even equal. So neither their errors nor the
      // sum's roundings are independent: deviations add, and kLambda of them are the worst case.
      const double rounding = (pixels + 1) * kUnitRoundoff * magnitude / kLambda;
      out.variance[static_cast<size_t>(c)] = (deviation * deviation + rounding * rounding) / pixels / pixels;
    }
  }
  return out;
}

}  // namespace squish::reference
