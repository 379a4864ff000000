// Convolution, with the pooling that follows it while its rows are in cache.
#include <algorithm>
#include <utility>

#include "cpu/steps.h"
#include "cpu/winograd.h"

namespace squish {
namespace {

// Where a task's output goes: the first pixel, and the strides.
struct Target {
  float* data;
  ptrdiff_t row, block;
};

ConvKernel kernel_for(const KernelTable& kernels, ptrdiff_t step, int blocks) {
  const int pair = blocks == 2 ? 1 : 0;
  switch (step) {
    case 1:
      return kernels.conv[kStep1][pair];
    case 2:
      return kernels.conv[kStep2][pair];
    case 16:
      return kernels.conv[kStep16][pair];
    default:
      return kernels.conv_any_step[pair];
  }
}

// Convolution of one group of blocks, any rows of it.
class GroupConv {
 public:
  GroupConv(const KernelTable& kernels, const BoundConv& conv, const BlockGroup& group, ConstView in)
      : in_(in), stride_h_(conv.packed->stride_h) {
    const PackedConv& packed = *conv.packed;
    task_.input_row = stride_h_ * in.layout->row_floats();
    task_.input_step = ptrdiff_t{packed.stride_w} * in.layout->channel_step();
    task_.weights = packed.weights.data() + group.weights_at;
    task_.offsets = conv.offsets.data() + group.columns_at;
    task_.columns = group.columns;
    task_.bias = packed.bias.data() + ptrdiff_t{group.first_block} * kChannelBlock;
    task_.floor = floor_for(packed.relu);
    task_.width = conv.conv_output.width;
    kernel_ = kernel_for(kernels, task_.input_step, group.blocks);
  }

  void rows(Range rows, Target target) {
    task_.input = in_.pixel(0, stride_h_ * rows.begin, 0);
    task_.rows = rows.size();
    task_.output = target.data;
    task_.output_row = target.row;
    task_.output_block = target.block;
    kernel_(task_);
  }

  // One row; running_max: into the maximum with what the target holds.
  void row(int y, Target target, bool running_max) {
    task_.running_max = running_max;
    rows({y, y + 1}, target);
  }

 private:
  ConstView in_;
  int stride_h_;
  ConvTask task_{};
  ConvKernel kernel_;
};

// Convolves and pools 3x3 windows with stride 2. Of the three rows under a row of windows the first two are maximised
// as they are computed, into `upper`; the third, which the next windows share, becomes their `upper`.
void conv_pooled(const KernelTable& kernels, const Op& op, const BoundConv& conv, const BlockGroup& group,
                 ConstView in, MutableView out, float* scratch, Range pooled_rows) {
  const int height = conv.conv_output.height, width = conv.conv_output.width;
  const int64_t row_floats = int64_t{width} * kChannelBlock;
  float *upper = scratch, *lower = scratch + group.blocks * row_floats;  // [blocks][width][16]
  GroupConv group_conv(kernels, conv, group, in);
  PoolTask task = pool_task(op, width, *out.layout);
  for (int r = pooled_rows.begin; r < pooled_rows.end; ++r) {
    const int top = r * 2, rows = std::min(3, height - top);
    if (r == pooled_rows.begin) group_conv.row(top, {upper, 0, row_floats}, false);
    if (rows > 1) group_conv.row(top + 1, {upper, 0, row_floats}, true);
    if (rows > 2) group_conv.row(top + 2, {lower, 0, row_floats}, false);
    task.input_row = lower - upper;
    task.rows = rows > 2 ? 2 : 1;
    for (int b = 0; b < group.blocks; ++b) {
      task.input = upper + b * row_floats;
      task.output = out.pixel(group.first_block + b, r, 0);
      kernels.max_pool(task);
    }
    std::swap(upper, lower);
  }
}

void conv_averaged(const KernelTable& kernels, const BoundConv& conv, const BlockGroup& group, ConstView in,
                   MutableView out, float* scratch) {
  const int height = conv.conv_output.height, width = conv.conv_output.width;
  const int64_t row_floats = int64_t{width} * kChannelBlock, block_floats = height * row_floats;
  GroupConv(kernels, conv, group, in).rows({0, height}, {scratch, row_floats, block_floats});
  for (int b = 0; b < group.blocks; ++b) {
    kernels.average(
        {scratch + b * block_floats, row_floats, height, width, out.pixel(group.first_block + b, 0, 0)});
  }
}

// Cuts groups x rows into shares of equal cost, not of equal count: the clusters of an expand 1x1 and an expand 3x3
// differ nine times.
template <typename Body>
void for_each_group_band(const PackedConv& packed, int rows, Share share, Body&& body) {
  const auto cost_of = [](const BlockGroup& group) { return (group.columns + 8) * group.blocks; };
  int64_t total = 0;
  for (const BlockGroup& group : packed.direct_groups) total += cost_of(group) * rows;
  const int64_t begin = total * share.index / share.count, end = total * (share.index + 1) / share.count;
  int64_t before = 0;
  for (const BlockGroup& group : packed.direct_groups) {
    const int64_t cost = cost_of(group);
    const auto row_at = [&](int64_t at) {
      return static_cast<int>(std::clamp<int64_t>((at - before + cost - 1) / cost, 0, rows));
    };
    const Range band{row_at(std::max(begin, before)), row_at(std::max(end, before))};
    if (band.begin < band.end) body(group, band);
    before += cost * rows;
  }
}

}  // namespace

int64_t scratch_floats(const Op& op, const BoundConv& conv, const Layout& in) {
  const int64_t rows = op.pooled ? 2 : op.averaged ? conv.conv_output.height : 0;
  const int64_t direct = rows * conv.conv_output.width * kChannelBlock * kMaxBlocks;
  return std::max(direct, winograd_scratch_floats(op, conv, in));
}

void run_conv(const KernelTable& kernels, const Op& op, const BoundConv& conv, ConstView in, MutableView out,
              float* scratch, Share share) {
  const PackedConv& packed = *conv.packed;
  for_each_group_band(packed, out.layout->height, share, [&](const BlockGroup& group, Range rows) {
    for (int b = 0; b < group.blocks; ++b) clear_border(out, group.first_block + b, rows);
    if (op.pooled) {
      conv_pooled(kernels, op, conv, group, in, out, scratch, rows);
    } else if (op.averaged) {
      conv_averaged(kernels, conv, group, in, out, scratch);
    } else {
      const Target target{out.pixel(group.first_block, rows.begin, 0), out.layout->row_floats(),
                          out.layout->block_floats()};
      GroupConv(kernels, conv, group, in).rows(rows, target);
    }
  });
  run_winograd(kernels, op, conv, in, out, scratch, share);
}

}  // namespace squish
