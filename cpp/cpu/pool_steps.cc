// Pools and additions that stand alone, and the way out.
#include <algorithm>

#include "cpu/steps.h"

namespace squish {
namespace {

void add_by_channel(const Op& op, ConstView a, ConstView b, MutableView out) {
  const Layout& layout = *out.layout;
  for (int c = 0; c < layout.channels(); ++c) {
    for (int y = 0; y < layout.height; ++y) {
      for (int x = 0; x < layout.width; ++x) {
        const float sum =
            a.pixel(0, y, x)[a.layout->channel_offset(c)] + b.pixel(0, y, x)[b.layout->channel_offset(c)];
        out.pixel(0, y, x)[layout.channel_offset(c)] = op.relu ? std::max(sum, 0.0f) : sum;
      }
    }
  }
}

}  // namespace

PoolTask pool_task(const Op& op, int width, const Layout& out) {
  PoolTask task{};
  task.width = width;
  task.kernel_w = op.window.kernel_w;
  task.stride_w = op.window.stride_w;
  task.pad_left = op.window.pad_left;
  task.windows = out.width;
  return task;
}

void run_max_pool(const KernelTable& kernels, const Op& op, ConstView in, MutableView out, Share share) {
  PoolTask task = pool_task(op, in.layout->width, *out.layout);
  task.input_row = in.layout->row_floats();
  for_each_band(out.layout->blocks(), out.layout->height, share, [&](int block, Range rows) {
    clear_border(out, block, rows);
    for (int r = rows.begin; r < rows.end; ++r) {
      const int top = r * op.window.stride_h - op.window.pad_top;
      const Range covered{std::max(top, 0), std::min(top + op.window.kernel_h, in.layout->height)};
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
    kernels.average({in.pixel(block, 0, 0), in.layout->row_floats(), in.layout->height, in.layout->width,
                     out.pixel(block, 0, 0)});
  });
}

void run_add(const KernelTable& kernels, const Op& op, ConstView a, ConstView b, MutableView out,
             Share share) {
  if (!a.layout->same_channels(*b.layout)) {
    // Two Fires of different widths: their channels lie in different blocks. One thread, channel by channel.
    if (share.index != 0) return;
    std::fill_n(out.data, out.layout->floats(), 0.0f);
    return add_by_channel(op, a, b, out);
  }
  for_each_band(out.layout->blocks(), out.layout->height, share, [&](int block, Range rows) {
    clear_border(out, block, rows);
    AddTask task{};
    task.a = a.pixel(block, rows.begin, 0);
    task.b = b.pixel(block, rows.begin, 0);
    task.output = out.pixel(block, rows.begin, 0);
    task.a_row = a.layout->row_floats();
    task.b_row = b.layout->row_floats();
    task.output_row = out.layout->row_floats();
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
