// How an activation lies in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "squish/model.h"

namespace squish {

inline constexpr int kChannelBlock = 16;

inline int blocks_of(int channels) { return (channels + kChannelBlock - 1) / kChannelBlock; }

// Zero pixels around an image, stored with it so that a convolution needs no edge case.
struct Border {
  int top = 0, left = 0, bottom = 0, right = 0;
};

// float [block][top + height + bottom][left + width + right][16 channels].
//
// A Fire's output has two segments, its two expands; each is padded to whole blocks, so that a cluster of 16 output
// channels is always one block. Padding channels hold zeros and nobody reads them but pools, which keep them.
//
// The net's input may be planar instead: float [channel][row][column], the order users have it in.
struct Layout {
  std::vector<int> segments;  // channels of each
  int height = 0, width = 0;
  Border border;
  bool planar = false;

  int channels() const;
  int blocks() const;  // of 16 channels; of 1 when planar
  // Floats from a pixel to its right neighbour.
  int channel_step() const { return planar ? 1 : kChannelBlock; }
  int64_t row_floats() const { return int64_t{border.left + width + border.right} * channel_step(); }
  int64_t block_floats() const { return row_floats() * (border.top + height + border.bottom); }
  int64_t floats() const { return block_floats() * blocks(); }
  // From the start of the buffer to pixel (0, 0) of block 0; border pixels have negative coordinates.
  int64_t origin() const { return row_floats() * border.top + int64_t{border.left} * channel_step(); }
  // From pixel (0, 0) of block 0 to channel c's value at (0, 0).
  int64_t channel_offset(int c) const;

  bool same_channels(const Layout& o) const { return planar == o.planar && segments == o.segments; }
};

}  // namespace squish
