#include <algorithm>
#include <cmath>

#include "format/weights.h"
#include "model/graph.h"
#include "reference/ops.h"

namespace squish::reference {
namespace {

// Weights that |x| is multiplied with to bound the terms of Winograd's F(2x2, 3x3), whose sums cancel: with
// S = |g0| + |g1| + |g2|, the terms of an output are at most (S + |g2|) |x0| + S |x1| + (S + |g0|) |x2| in each
// direction.
void widen(std::vector<double>& magnitudes) {
  const auto widen_line = [](double* g, ptrdiff_t step) {
    const double sum = g[0] + g[step] + g[2 * step], first = g[0], last = g[2 * step];
    g[0] = sum + last;
    g[step] = sum;
    g[2 * step] = sum + first;
  };
  for (double* kernel = magnitudes.data(); kernel != magnitudes.data() + magnitudes.size(); kernel += 9) {
    for (ptrdiff_t y = 0; y < 3; ++y) widen_line(kernel + 3 * y, 1);
    for (ptrdiff_t x = 0; x < 3; ++x) widen_line(kernel + x, 3);
  }
}

// What each weight adds to the terms in magnitude: |w|, or more in tiles.
std::vector<double> magnitudes_of(const std::vector<float>& weights, bool in_tiles) {
  std::vector<double> magnitudes(weights.size());
  std::transform(weights.begin(), weights.end(), magnitudes.begin(),
                 [](float w) { return std::abs(double{w}); });
  if (in_tiles) widen(magnitudes);
  return magnitudes;
}

// Roundings beside one a product: of the bias; of the transforms there and back.
constexpr double kBiasRoundings = 1, kTileRoundings = 12;

// One output value: sum of w x, of what a float32 algorithm adds up in magnitude, and of w^2 variance(x), and the number
// of products.
struct Sums {
  double value = 0, magnitude = 0, variance = 0;
  int64_t products = 0;
};

// `magnitude` null: only the value is asked for.
Sums dot(const Activation& in, const ConvDescription& conv, const float* weight, const double* magnitude,
         int top, int left) {
  const Window& w = conv.window;
  Sums sums;
  size_t k = 0;
  for (int i = 0; i < conv.in_channels; ++i) {
    for (int ky = 0; ky < w.kernel_h; ++ky) {
      for (int kx = 0; kx < w.kernel_w; ++kx, ++k) {
        const int y = top + ky, x = left + kx;
        if (y < 0 || x < 0 || y >= in.shape.height || x >= in.shape.width) continue;
        const size_t at = in.at(i, y, x);
        sums.value += double{weight[k]} * in.value[at];
        if (magnitude == nullptr || magnitude[k] == 0) continue;
        sums.magnitude += magnitude[k] * std::abs(in.value[at]);
        sums.variance += double{weight[k]} * double{weight[k]} * in.variance[at];
        ++sums.products;
      }
    }
  }
  return sums;
}

// Of n roundings: kLambda of it are lambda sqrt(n) roundings, but never more than all n.
double deviation_of(double roundings) { return std::min(std::sqrt(roundings), roundings / kLambda); }

}  // namespace

Activation conv(const Activation& in, const ConvDescription& conv, bool winograd) {
  const Window& w = conv.window;
  Activation out = make_activation(
      {conv.out_channels, conv_extent(in.shape.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom),
       conv_extent(in.shape.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right)},
      in.tracks_variance());
  const std::vector<float> weights = decode_dense(conv), bias = decode_bias(conv);
  const bool in_tiles = winograd && w.is_3x3(1);
  const double other_roundings = kBiasRoundings + (in_tiles ? kTileRoundings : 0);
  std::vector<double> magnitudes;
  if (in.tracks_variance()) magnitudes = magnitudes_of(weights, in_tiles);
  const size_t per_output = static_cast<size_t>(conv.in_channels) * static_cast<size_t>(conv.kernel_area());
  for (int o = 0; o < conv.out_channels; ++o) {
    const size_t first = static_cast<size_t>(o) * per_output;
    const double* magnitude = in.tracks_variance() ? magnitudes.data() + first : nullptr;
    const double b = bias[static_cast<size_t>(o)];
    for (int y = 0; y < out.shape.height; ++y) {
      for (int x = 0; x < out.shape.width; ++x) {
        const Sums sums = dot(in, conv, weights.data() + first, magnitude, y * w.stride_h - w.pad_top,
                              x * w.stride_w - w.pad_left);
        const double value = sums.value + b;
        const size_t at = out.at(o, y, x);
        out.value[at] = conv.relu ? std::max(value, 0.0) : value;
        if (in.tracks_variance()) {
          const double rounding = deviation_of(static_cast<double>(sums.products) + other_roundings) *
                                  kUnitRoundoff * (sums.magnitude + std::abs(b));
          out.variance[at] = sums.variance + rounding * rounding;
        }
      }
    }
  }
  return out;
}

}  // namespace squish::reference
