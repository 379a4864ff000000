// What flows through the reference backend: one image's activation in double precision, and, where a test asks
// for it, how far a float32 engine may be from it.
//
// THE ERROR MODEL. A float32 sum of n products, in whatever order, differs from the exact one by at most
// n u sum|w x| (u = 2^-24), and with independent roundings by at most lambda sqrt(n) u sum|w x| with
// probability 1 - 2 exp(-lambda^2 / 2) (N. Higham and T. Mary, A new approach to probabilistic rounding error
// analysis, SIAM J. Sci. Comput. 41, 2019). Through a whole net the worst cases multiply to nothing useful; so
// we carry a variance: what comes in is passed on as sum w^2 variance(x), and each operation adds
// (min(sqrt(n), n / lambda) u sum|w x|)^2, with the larger terms of Winograd's algorithm where an engine may use it
// (conv.cc). A bound is kLambda standard deviations.
#pragma once

#include <cstddef>
#include <vector>

#include "memory_size.h"
#include "squish/model.h"

namespace squish::reference {

inline constexpr double kUnitRoundoff = 1.0 / (1 << 24);
inline constexpr double kLambda = 8;

struct Activation {
  Shape shape;
  std::vector<double> value;     // [C][H][W]
  std::vector<double> variance;  // [C][H][W] of a float32 engine's error, or empty: not asked for

  bool tracks_variance() const { return !variance.empty(); }
  size_t at(int c, int y, int x) const {
    return (static_cast<size_t>(c) * static_cast<size_t>(shape.height) + static_cast<size_t>(y)) *
               static_cast<size_t>(shape.width) +
           static_cast<size_t>(x);
  }
};

// An activation of zeros.
inline Activation make_activation(Shape shape, bool track_variance) {
  const auto n = memory_size<double>(shape.elements());
  return {shape, std::vector<double>(n), std::vector<double>(track_variance ? n : 0)};
}

}  // namespace squish::reference
