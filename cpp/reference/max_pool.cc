#include <algorithm>
#include <cmath>
#include <limits>

#include "model/graph.h"
#include "reference/ops.h"

namespace squish::reference {

Activation max_pool(const Activation& in, const Window& w, bool ceil_mode) {
  Activation out = make_activation(
      {in.shape.channels,
       pool_extent(in.shape.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, ceil_mode),
       pool_extent(in.shape.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, ceil_mode)},
      in.tracks_variance());
  for (int c = 0; c < out.shape.channels; ++c) {
    for (int y = 0; y < out.shape.height; ++y) {
      for (int x = 0; x < out.shape.width; ++x) {
        const int top = y * w.stride_h - w.pad_top, left = x * w.stride_w - w.pad_left;
        double value = -std::numeric_limits<double>::infinity(), variance = 0;
        for (int iy = std::max(top, 0); iy < std::min(top + w.kernel_h, in.shape.height); ++iy) {
          for (int ix = std::max(left, 0); ix < std::min(left + w.kernel_w, in.shape.width); ++ix) {
            const double next = in.value[in.at(c, iy, ix)];
            value = value > next || std::isnan(value) ? value : next;  // NaN where one is, as PyTorch's
            if (in.tracks_variance()) variance = std::max(variance, in.variance[in.at(c, iy, ix)]);
          }
        }
        out.value[out.at(c, y, x)] = value;
        if (in.tracks_variance()) out.variance[out.at(c, y, x)] = variance;
      }
    }
  }
  return out;
}

}  // namespace squish::reference
