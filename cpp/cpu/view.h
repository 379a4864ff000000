// Views of one image's buffers and the division of work among threads: what all steps share.
#pragma once

#include <algorithm>
#include <cstddef>
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
    return data + layout->origin() + block * layout->block_values() + y * layout->row_values() +
           int64_t{x} * layout->channel_step();
  }
  // Within what is in memory, whatever pointers are. `stride` rows further there may be none.
  ptrdiff_t row_step(int stride = 1) const { return static_cast<ptrdiff_t>(stride * layout->row_values()); }
  ptrdiff_t block_step() const { return static_cast<ptrdiff_t>(layout->block_values()); }
};
using ConstView = View<const float>;
using MutableView = View<float>;
using ConstByteView = View<const uint8_t>;
using ByteView = View<uint8_t>;

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

// What stands for zero beside these rows of a block, and above and below the image where they are its first and last. Arena
// memory is reused, so whoever writes rows clears their border each time.
template <typename T>
void clear_border(View<T> out, int block, Range rows, T zero = 0) {
  const Layout& layout = *out.layout;
  const Border& border = layout.border;
  const int64_t row_values = layout.row_values(), step = layout.channel_step();
  if (rows.size() == 0) return;  // somebody else's
  if (rows.begin == 0)
    std::fill_n(out.pixel(block, -border.top, -border.left), border.top * row_values, zero);
  if (rows.end == layout.height) {
    std::fill_n(out.pixel(block, layout.height, -border.left), border.bottom * row_values, zero);
  }
  if (border.left + border.right == 0) return;
  for (int y = rows.begin; y < rows.end; ++y) {
    std::fill_n(out.pixel(block, y, -border.left), border.left * step, zero);
    std::fill_n(out.pixel(block, y, layout.width), border.right * step, zero);
  }
}

}  // namespace squish
