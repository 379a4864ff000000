// Integer weights in the order the integer kernels read them, as pack.h has it for floats.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/aligned.h"
#include "cpu/integer_kernels.h"
#include "cpu/pack.h"
#include "plan/census.h"
#include "plan/fuse.h"
#include "plan/layout.h"
#include "plan/quad_clusters.h"

namespace squish {

struct PackedIntegerConv {
  std::vector<BlockGroup> groups;  // weights_at in bytes
  std::vector<QuadColumn> columns;
  AlignedArray<uint8_t> weights;     // of a group: [columns][blocks] clusters
  AlignedArray<int32_t> start;       // [blocks][16]
  AlignedArray<float> factor, term;  // [blocks][16]
  Quantisation input, output;        // of no bytes: results are floats
  int blocks = 0;
  bool relu = false;
  int stride_h = 1, stride_w = 1;
  int64_t live_clusters = 0, all_clusters = 0;  // 16x4
  WeightCensus census;
};

// Packs the convolutions of an op side by side. `input`: how the channels of what it reads lie; its size does not matter.
// A cluster lives if one of its 16 x 4 weights is not zero.
PackedIntegerConv pack_integers(const Op& op, const Layout& input, const Quantisation& output,
                                const IntegerKernels& kernels);

// The offsets of the columns, in bytes, in an input of this layout.
std::vector<int32_t> column_offsets(const PackedIntegerConv& conv, const Layout& input);

}  // namespace squish
