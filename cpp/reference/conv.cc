#include <algorithm>
#include <cmath>

#include "format/weights.h"
#include "model/graph.h"
#include "reference/ops.h"

namespace squish::reference {
namespace {

// One output value: sum of w x, of |w x| and of w^2 variance(x), and the number of products.
struct Sums {
  double value = 0, magnitude = 0, variance = 0;
  int products = 0;
};

Sums dot(const Activation& in, const ConvDescription& conv, const float* weight, int top, int left) {
  const Window& w = conv.window;
  Sums sums;
  for (int i = 0; i < conv.in_channels; ++i) {
    for (int ky = 0; ky < w.kernel_h; ++ky) {
      for (int kx = 0; kx < w.kernel_w; ++kx, ++weight) {
        const int y = top + ky, x = left + kx;
        if (y < 0 || x < 0 || y >= in.shape.height || x >= in.shape.width || *weight == 0) continue;
        const size_t at = in.at(i, y, x);
        const double product = double{*weight} * in.value[at];
        sums.value += product;
        sums.magnitude += std::abs(product);
        ++sums.products;
        if (in.tracks_variance()) sums.variance += double{*weight} * double{*weight} * in.variance[at];
      }
    }
  }
  return sums;
}

}  // namespace

Activation conv(const Activation& in, const ConvDescription& conv) {
  const Window& w = conv.window;
  Activation out = make_activation(
      {conv.out_channels, conv_extent(in.shape.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom),
       conv_extent(in.shape.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right)},
      in.tracks_variance());
  const std::vector<float> weights = decode_dense(conv), bias = decode_bias(conv);
  const size_t per_output = static_cast<size_t>(conv.in_channels) * static_cast<size_t>(conv.kernel_area());
  for (int o = 0; o < conv.out_channels; ++o) {
    const float* weight = weights.data() + static_cast<size_t>(o) * per_output;
    const double b = bias[static_cast<size_t>(o)];
    for (int y = 0; y < out.shape.height; ++y) {
      for (int x = 0; x < out.shape.width; ++x) {
        const Sums sums = dot(in, conv, weight, y * w.stride_h - w.pad_top, x * w.stride_w - w.pad_left);
        const double value = sums.value + b;
        const size_t at = out.at(o, y, x);
        out.value[at] = conv.relu ? std::max(value, 0.0) : value;
        if (in.tracks_variance()) {
          const double rounding =
              std::sqrt(sums.products + 1.0) * kUnitRoundoff * (sums.magnitude + std::abs(b));
          out.variance[at] = sums.variance + rounding * rounding;
        }
      }
    }
  }
  return out;
}

}  // namespace squish::reference
