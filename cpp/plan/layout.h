// How an activation lies in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "squish/model.h"

namespace squish {

inline constexpr int kChannelBlock = 16;               // channels of a block
inline constexpr int kPlaneBlock = 1, kQuadBlock = 4;  // of other blocks

inline int blocks_of(int channels, int block = kChannelBlock) { return (channels + block - 1) / block; }

// Zero pixels around an image, stored with it so that a convolution needs no edge case.
struct Border {
  int top = 0, left = 0, bottom = 0, right = 0;
};

// [block][top + height + bottom][left + width + right][16 channels], of floats or bytes.
//
// A Fire's output has two segments, its two expands; each is padded to whole blocks, so that a cluster of 16 output
// channels is always one block. Padding channels hold what stands for zero and nobody reads them but pools, which keep them.
//
// The net's input may be planar instead, in blocks of 1 channel, which is the order users have it in; or, in bytes, in
// blocks of 4.
struct Layout {
  std::vector<int> segments;  // channels of each
  int height = 0, width = 0;
  Border border;
  int block = kChannelBlock;  // channels

  int channels() const;
  int blocks() const;
  // Values from a pixel to its right neighbour.
  int channel_step() const { return block; }
  int64_t row_values() const { return int64_t{border.left + width + border.right} * channel_step(); }
  int64_t block_values() const { return row_values() * (border.top + height + border.bottom); }
  int64_t values() const { return block_values() * blocks(); }
  // From the start of the buffer to pixel (0, 0) of block 0; border pixels have negative coordinates.
  int64_t origin() const { return row_values() * border.top + int64_t{border.left} * channel_step(); }
  // From pixel (0, 0) of block 0 to channel c's value at (0, 0).
  int64_t channel_offset(int c) const;

  bool same_channels(const Layout& o) const { return block == o.block && segments == o.segments; }
};

}  // namespace squish
