// How many of an op's weights and clusters live. Called by backends and tools to explain what runs.
#pragma once

#include <cstdint>
#include <string>

#include "plan/fuse.h"

namespace squish {

struct WeightCensus {
  int64_t live_weights = 0, all_weights = 0;    // live: not zero
  int64_t live_clusters = 0, all_clusters = 0;  // 16x1

  double density() const;
  double cluster_density() const;
  // "15 % of clusters live", "dense": what kernels for clusters make of it.
  std::string text() const;
};

// Of all convolutions of the op.
WeightCensus take_census(const Op& op);

// part / all; all of nothing is 1.
double fraction(int64_t part, int64_t all);
// "15 %", "0.4 %"
std::string percent(int64_t part, int64_t all);

}  // namespace squish
