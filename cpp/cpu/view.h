// Views of one image's buffers and the division of work among threads: what all steps share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "plan/layout.h"

namespace squish {

// Part `index` of `count` equal parts of a step's work. What a value is does not depend on the part that computes it.
struct Share {
  int index = 0, count = 1;
};

// A buffer of one image.
template <typename T>
struct View {
  const Layout* layout;
  T* data;
  // Block 0 at (0, 0) and its neighbours; coordinates may reach into the border.
  T* pixel(int block, int y, int x) const {
    return data + layout->origin() + block * layout->block_floats() + y * layout->row_floats() +
           int64_t{x} * layout->channel_step();
  }
};
using ConstView = View<const float>;
using MutableView = View<float>;

struct Range {
  int begin = 0, end = 0;
  int size() const { return end - begin; }
};

inline Range share_of(int total, Share share) {
  return {static_cast<int>(int64_t{total} * share.index / share.count),
          static_cast<int>(int64_t{total} * (share.index + 1) / share.count)};
}

// Calls body(block, rows) for this share of all blocks x rows.
template <typename Body>
void for_each_band(int blocks, int rows, Share share, Body&& body) {
  const Range units = share_of(blocks * rows, share);
  for (int unit = units.begin; unit < units.end;) {
    const int block = unit / rows, begin = unit % rows;
    const int end = std::min(rows, begin + units.end - unit);
    body(block, Range{begin, end});
    unit += end - begin;
  }
}

// Zeros beside these rows of a block, and above and below the image where they are its first and last. Arena memory
// is reused, so whoever writes rows clears their border each time.
inline void clear_border(MutableView out, int block, Range rows) {
  const Layout& layout = *out.layout;
  const Border& border = layout.border;
  const int64_t row_floats = layout.row_floats(), step = layout.channel_step();
  if (rows.begin == 0)
    std::fill_n(out.pixel(block, -border.top, -border.left), border.top * row_floats, 0.0f);
  if (rows.end == layout.height) {
    std::fill_n(out.pixel(block, layout.height, -border.left), border.bottom * row_floats, 0.0f);
  }
  if (border.left + border.right == 0) return;
  for (int y = rows.begin; y < rows.end; ++y) {
    std::fill_n(out.pixel(block, y, -border.left), border.left * step, 0.0f);
    std::fill_n(out.pixel(block, y, layout.width), border.right * step, 0.0f);
  }
}

}  // namespace squish
