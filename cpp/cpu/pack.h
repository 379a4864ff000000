// Weights in the order the convolution kernels read them. Packed once a session, for every image size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu/aligned.h"
#include "plan/census.h"
#include "plan/clusters.h"
#include "plan/fuse.h"
#include "plan/layout.h"

namespace squish {

// One or two adjacent output blocks that a kernel computes together.
struct BlockGroup {
  int first_block = 0, blocks = 1;
  ptrdiff_t columns_at = 0, columns = 0;
  ptrdiff_t weights_at = 0;  // floats, or bytes of integer_pack.h
};

struct PackedConv {
  // Computed directly, column by column. Weights of a group: [columns][blocks][16].
  std::vector<BlockGroup> direct_groups;
  // Dense 3x3 ones, computed in Winograd's tiles (winograd.h): a column is an input channel, the weights are
  // [16 frequencies][columns][blocks][16].
  std::vector<BlockGroup> winograd_groups;
  int winograd_pad_top = 0, winograd_pad_left = 0;
  std::vector<Column> columns;
  AlignedArray<float> weights;
  AlignedArray<float> bias;  // [blocks][16]
  int blocks = 0;
  bool relu = false;
  int stride_h = 1, stride_w = 1;
  WeightCensus census;
};

struct PackOptions {
  int max_group = 1;     // blocks a group
  bool winograd = true;  // where it pays
};

// Packs the convolutions of an op side by side. A cluster lives if one of its 16 weights is not zero, however
// the file stored it: what costs time is what could change the result. Blocks whose clusters lie in the same places
// (two dense ones, for instance) are grouped.
PackedConv pack(const Op& op, const PackOptions& options);

// The offsets of the columns, in floats: in an input of this layout, or, for groups in tiles, in one frequency of
// `band_tiles` tiles.
std::vector<int32_t> column_offsets(const PackedConv& conv, const Layout& input, int band_tiles);

}  // namespace squish
