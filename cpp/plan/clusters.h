// Which clusters of a convolution's weights live: what is left of it to compute. Called by the packers of the backends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/description.h"
#include "plan/layout.h"

namespace squish {

// Where a cluster's activation lies, seen from the output pixel: input channel, and the row and column relative to
// (stride * output row, stride * output column).
struct Column {
  int channel;
  int16_t dy, dx;
  bool operator==(const Column& o) const { return channel == o.channel && dy == o.dy && dx == o.dx; }
};

using ClusterWeights = std::array<float, kChannelBlock>;  // by output channel of the block

// The living clusters of one convolution, by output block and then by column.
struct Clusters {
  std::vector<Column> columns;
  std::vector<ClusterWeights> weights;
  std::vector<size_t> block_begin;  // [blocks + 1]
};

// A cluster of 16 output channels x 1 input channel at one kernel position lives if one of its weights is not zero,
// however the file stored it.
Clusters clusters_of(const ConvDescription& conv);

}  // namespace squish
