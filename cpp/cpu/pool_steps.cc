// Pools and additions that stand alone, and the way out.
#include <algorithm>

#include "cpu/steps.h"

namespace squish {
namespace {

// The channels that a block holds.
Range channels_of(const Layout& layout, int block) {
  int first = 0;
  for (int channels : layout.segments) {
    const int blocks = blocks_of(channels);
    if (block < blocks) {
      const int begin = block * kChannelBlock;
      return {first + begin, first + std::min(begin + kChannelBlock, channels)};
    }
    first += channels;
    block -= blocks;
  }
  return {first, first};  // block is below blocks()
}

// Two Fires of different widths: their channels lie in different blocks.
void add_by_channel(bool relu, ConstView a, ConstView b, MutableView out, int block, Range rows) {
  const Layout& layout = *out.layout;
  for (int y = rows.begin; y < rows.end; ++y) {
    std::fill_n(out.pixel(block, y, 0), int64_t{layout.width} * kChannelBlock, 0.0f);
    const Range channels = channels_of(layout, block);
    for (int c = channels.begin; c < channels.end; ++c) {
      const float* from_a = a.pixel(0, y, 0) + a.layout->channel_offset(c);
      const float* from_b = b.pixel(0, y, 0) + b.layout->channel_offset(c);
      float* to = out.pixel(0, y, 0) + layout.channel_offset(c);
      for (int64_t x = 0; x < int64_t{layout.width} * kChannelBlock; x += kChannelBlock) {
        const float sum = from_a[x] + from_b[x];
        to[x] = relu ? std::max(sum, 0.0f) : sum;
      }
    }
  }
}

}  // namespace

void run_max_pool(const KernelTable& kernels, const Op& op, ConstView in, MutableView out, Share share) {
  auto task = pool_task<PoolTask>(op, in.layout->width, *out.layout);
  task.input_row = in.row_step();
  for_each_band(out.layout->blocks(), out.layout->height, share, [&](int block, Range rows) {
    clear_border(out, block, rows);
    for (int r = rows.begin; r < rows.end; ++r) {
      const Range covered = rows_under(op, r, in.layout->height);
      task.input = in.pixel(block, covered.begin, 0);
      task.rows = covered.size();
      task.output = out.pixel(block, r, 0);
      kernels.max_pool(task);
    }
  });
}

void run_average(const KernelTable& kernels, ConstView in, MutableView out, Share share) {
  for_each_band(out.layout->blocks(), 1, share, [&](int block, Range rows) {
    clear_border(out, block, rows);
    kernels.average(
        {in.pixel(block, 0, 0), in.row_step(), in.layout->height, in.layout->width, out.pixel(block, 0, 0)});
  });
}

void run_add(const KernelTable& kernels, const Op& op, ConstView a, ConstView b, MutableView out,
             Share share) {
  const bool same_blocks = a.layout->same_channels(*b.layout);
  for_each_band(out.layout->blocks(), out.layout->height, share, [&](int block, Range rows) {
    clear_border(out, block, rows);
    if (!same_blocks) return add_by_channel(op.relu, a, b, out, block, rows);
    AddTask task{};
    task.a = a.pixel(block, rows.begin, 0);
    task.b = b.pixel(block, rows.begin, 0);
    task.output = out.pixel(block, rows.begin, 0);
    task.a_row = a.row_step();
    task.b_row = b.row_step();
    task.output_row = out.row_step();
    task.floats = ptrdiff_t{out.layout->width} * kChannelBlock;
    task.rows = rows.size();
    task.floor = floor_for(op.relu);
    kernels.add(task);
  });
}

void run_output(ConstView in, float* output) {
  for (int c = 0; c < in.layout->channels(); ++c) {
    const int64_t channel = in.layout->channel_offset(c);
    for (int y = 0; y < in.layout->height; ++y) {
      for (int x = 0; x < in.layout->width; ++x) *output++ = in.pixel(0, y, x)[channel];
    }
  }
}

}  // namespace squish
