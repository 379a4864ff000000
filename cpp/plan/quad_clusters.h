// What is left of a convolution in integers (format/layout.h, INTEGER ARITHMETIC): the clusters that live, and what makes
// results of sums. Called by the packers of the backends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/weights.h"
#include "plan/layout.h"
#include "plan/ranked_bits.h"

namespace squish {

// Where a cluster's four activations lie, seen from the output pixel: the quad of channels, in the order of the layout, and
// the row and column as a Column has them.
struct QuadColumn {
  int quad;
  int16_t dy, dx;
  bool operator==(const QuadColumn& o) const { return quad == o.quad && dy == o.dy && dx == o.dx; }
};

using QuadClusterWeights =
    std::array<int8_t, size_t{kChannelBlock} * kQuadBlock>;  // [output of the block][input of the quad]

// The living clusters of one convolution. A cluster of 16 output channels x 4 input channels at one kernel position lives if
// one of its weights is not zero.
class QuadClusters {
 public:
  // `input`: how the channels of what it reads lie, in blocks of 4 or 16; its size does not matter.
  QuadClusters(const ConvDescription& conv, const Layout& input);

  // Living or not.
  int64_t all() const { return blocks_ * all_columns_; }
  size_t size() const { return live_.size(); }
  int blocks() const { return blocks_; }

  // Those of one output block, by block of input channels, kernel position and quad.
  struct Block {
    const QuadColumn* columns;
    const QuadClusterWeights* weights;
    size_t count;
  };
  Block block(int b) const;

 private:
  size_t number(const IntegerWeight& w) const;

  Window window_;
  int quads_of_block_;
  int blocks_;
  int64_t all_columns_;  // of each block, living or not
  RankedBits live_;
  std::vector<int> slots_;  // of each input channel: its place among the channels of the layout
  std::vector<QuadColumn> columns_;
  std::vector<QuadClusterWeights> weights_;
};

// A sum of weight value * (q - offset) begins with `start`; its result, in floats or as a byte before it is rounded, is
// factor * sum + term. Each is [blocks][16], in whose lanes without a channel results stand for zero.
struct ResultConstants {
  std::vector<int32_t> start;
  std::vector<float> factor, term;
};

// Appends those of a convolution that reads and writes what is held so.
void add_result_constants(const ConvDescription& conv, const Quantisation& output, int offset,
                          ResultConstants& constants);

}  // namespace squish
