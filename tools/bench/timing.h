// Measuring rivals side by side.
#pragma once

#include <functional>
#include <vector>

namespace squish::bench {

// Of a set of samples, in their unit.
struct Summary {
  double min = 0, median = 0, p90 = 0;
};

// `samples` must not be empty. Between two samples quantiles are interpolated.
Summary summarise(std::vector<double> samples);

// Calls the rivals in turn, `warmup` rounds and then until each has made `iterations` calls that are timed; returns the
// seconds of each call, [rival][iteration]. In turn, because a machine that slows down, by heat or by neighbours, must
// slow all of them. A turn is one call that is not timed, for it finds the caches full of the others' data, and a few
// that are.
std::vector<std::vector<double>> time_in_turn(const std::vector<std::function<void()>>& rivals, int warmup,
                                              int iterations);

}  // namespace squish::bench
