// Convolution, with the pooling that follows it while its rows are in cache.
#include <algorithm>

#include "cpu/conv_rows.h"
#include "cpu/steps.h"
#include "cpu/winograd.h"

namespace squish {
namespace {

using FloatTarget = Target<float>;

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
    task_.input_row = in.row_step(stride_h_);
    task_.input_step = ptrdiff_t{packed.stride_w} * in.layout->channel_step();
    task_.weights = packed.weights.data() + group.weights_at;
    task_.offsets = conv.offsets.data() + group.columns_at;
    task_.columns = group.columns;
    task_.bias = packed.bias.data() + ptrdiff_t{group.first_block} * kChannelBlock;
    task_.floor = floor_for(packed.relu);
    task_.width = conv.conv_output.width;
    kernel_ = kernel_for(kernels, task_.input_step, group.blocks);
  }

  void rows(Range rows, FloatTarget target) {
    task_.input = in_.pixel(0, stride_h_ * rows.begin, 0);
    task_.rows = rows.size();
    task_.output = target.data;
    task_.output_row = target.row;
    task_.output_block = target.block;
    kernel_(task_);
  }

  // One row; running_max: into the maximum with what the target holds.
  void row(int y, FloatTarget target, bool running_max) {
    task_.running_max = running_max;
    rows({y, y + 1}, target);
  }

 private:
  ConstView in_;
  int stride_h_;
  ConvTask task_{};
  ConvKernel kernel_;
};

void conv_averaged(const KernelTable& kernels, const BoundConv& conv, const BlockGroup& group, ConstView in,
                   MutableView out, float* scratch) {
  const int height = conv.conv_output.height, width = conv.conv_output.width;
  const ptrdiff_t row_values = ptrdiff_t{width} * kChannelBlock, block_values = height * row_values;
  GroupConv(kernels, conv, group, in).rows({0, height}, {scratch, row_values, block_values});
  for (int b = 0; b < group.blocks; ++b) {
    kernels.average(
        {scratch + b * block_values, row_values, height, width, out.pixel(group.first_block + b, 0, 0)});
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
  for_each_group_band(
      packed.direct_groups, out.layout->height, share, [&](const BlockGroup& group, Range rows) {
        for (int b = 0; b < group.blocks; ++b) clear_border(out, group.first_block + b, rows);
        if (op.pooled) {
          GroupConv group_conv(kernels, conv, group, in);
          conv_pooled(group_conv, group, conv.conv_output.height, kernels.max_pool,
                      pool_task<PoolTask>(op, conv.conv_output.width, *out.layout), out, scratch, rows);
        } else if (op.averaged) {
          conv_averaged(kernels, conv, group, in, out, scratch);
        } else {
          const FloatTarget target{out.pixel(group.first_block, rows.begin, 0), out.row_step(),
                                   out.block_step()};
          GroupConv(kernels, conv, group, in).rows(rows, target);
        }
      });
  run_winograd(kernels, op, conv, in, out, scratch, share);
}

}  // namespace squish
