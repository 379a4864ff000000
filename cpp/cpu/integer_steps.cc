// Each float operation rounds by itself, as format/layout.h has it: the whole build contracts none.
#include "cpu/integer_steps.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cpu/conv_rows.h"

namespace squish {
namespace {

int quantised(float value, const Quantisation& q, float inverse) {
  const float scaled = value * inverse + static_cast<float>(q.zero);
  const float not_negative = scaled > 0 ? scaled : 0;  // of NaN, too
  return static_cast<int>(std::nearbyint(std::min(not_negative, 255.0f)));
}

float inverse_of(const Quantisation& q) { return static_cast<float>(1 / double{q.scale}); }

// `count` values, `step` apart, from `at` on.
void read_values(MixedView from, int64_t at, int64_t step, int64_t count, float* values) {
  if (!from.is_bytes()) {
    const float* data = from.floats().data + at;
    for (int64_t k = 0; k < count; ++k) values[k] = data[k * step];
    return;
  }
  const uint8_t* data = from.bytes().data + at;
  for (int64_t k = 0; k < count; ++k) {
    const int steps = from.activation_of(data[k * step]) - from.quantisation.zero;
    values[k] = from.quantisation.scale * static_cast<float>(steps);
  }
}

void write_values(MixedView to, int64_t at, int64_t step, int64_t count, const float* values) {
  if (!to.is_bytes()) {
    float* data = to.floats().data + at;
    for (int64_t k = 0; k < count; ++k) data[k * step] = values[k];
    return;
  }
  const float inverse = inverse_of(to.quantisation);
  uint8_t* data = to.bytes().data + at;
  for (int64_t k = 0; k < count; ++k)
    data[k * step] = to.byte_of(quantised(values[k], to.quantisation, inverse));
}

int64_t pixel_at(const Layout& layout, int block, int y) {
  return layout.origin() + block * layout.block_values() + y * layout.row_values();
}

void clear_border(MixedView out, int block, Range rows) {
  if (out.is_bytes()) {
    clear_border(out.bytes(), block, rows, out.byte_of(out.quantisation.zero));
  } else {
    clear_border(out.floats(), block, rows);
  }
}

QuadStep quad_step(ptrdiff_t bytes) {
  switch (bytes) {
    case 4:
      return kQuadStep4;
    case 8:
      return kQuadStep8;
    case 16:
      return kQuadStep16;
    default:
      return kQuadAnyStep;
  }
}

// Convolution of one group of blocks, any rows of it, to bytes or to floats.
class IntegerGroupConv {
 public:
  IntegerGroupConv(const IntegerKernels& kernels, const BoundIntegerConv& conv, const BlockGroup& group,
                   ConstByteView in)
      : in_(in), stride_h_(conv.packed->stride_h) {
    const PackedIntegerConv& packed = *conv.packed;
    const ptrdiff_t lane = ptrdiff_t{group.first_block} * kChannelBlock;
    task_.input_row = in.row_step(stride_h_);
    task_.input_step = ptrdiff_t{packed.stride_w} * in.layout->channel_step();
    task_.weights = packed.weights.data() + group.weights_at;
    task_.offsets = conv.offsets.data() + group.columns_at;
    task_.columns = group.columns;
    task_.start = packed.start.data() + lane;
    task_.factor = packed.factor.data() + lane;
    task_.term = packed.term.data() + lane;
    task_.low = packed.relu ? packed.output.zero : 0;
    task_.floor = floor_for(packed.relu);
    task_.width = conv.conv_output.width;
    const QuadStep step = quad_step(task_.input_step);
    const int pair = group.blocks == 2 ? 1 : 0;
    kernel_ = kernels.conv[step][pair];
    pooled_kernel_ = kernels.conv_pooled[step][pair];
  }

  template <typename T>
  void rows(Range rows, Target<T> target) {
    task_.input = in_.pixel(0, stride_h_ * rows.begin, 0);
    task_.rows = rows.size();
    task_.to_bytes = sizeof(T) == 1;
    task_.output = reinterpret_cast<uint8_t*>(target.data);
    task_.output_row = target.row * ptrdiff_t{sizeof(T)};
    task_.output_block = target.block * ptrdiff_t{sizeof(T)};
    kernel_(task_);
  }

  // Rows are pooled along as they are computed, to so many windows; `row` only.
  void pool_to(int windows) {
    kernel_ = pooled_kernel_;
    task_.width = std::min(task_.width, 2 * windows + 1);
  }

  // One row of bytes; running_max: into the maximum with what the target holds.
  void row(int y, Target<uint8_t> target, bool running_max) {
    task_.running_max = running_max;
    rows(Range{y, y + 1}, target);
  }

 private:
  ConstByteView in_;
  int stride_h_;
  IntegerConvTask task_{};
  IntegerConvKernel kernel_, pooled_kernel_;
};

// Windows along rows are pooled from sums: half as many become bytes. What is left are columns of three.
void conv_pooled_bytes(const IntegerKernels& kernels, const BoundIntegerConv& conv, const BlockGroup& group,
                       IntegerGroupConv& group_conv, ByteView out, uint8_t* scratch, Range pooled_rows) {
  const int windows = out.layout->width;
  group_conv.pool_to(windows);
  BytePoolTask task{};
  task.width = task.windows = windows;
  task.kernel_w = task.stride_w = 1;
  conv_pooled(group_conv, group, conv.conv_output.height, kernels.max_pool, task, out, scratch, pooled_rows);
}

// Where only an Add reads the pool: each row of windows from its own three rows.
void conv_pooled_floats(const MixedKernels& kernels, const Op& op, IntegerGroupConv& group_conv,
                        const BlockGroup& group, Shape conv_output, MutableView out, float* scratch,
                        Range pooled_rows) {
  const ptrdiff_t row_values = ptrdiff_t{conv_output.width} * kChannelBlock, block_values = 3 * row_values;
  auto task = pool_task<PoolTask>(op, conv_output.width, *out.layout);
  task.input_row = row_values;
  for (int r = pooled_rows.begin; r < pooled_rows.end; ++r) {
    const Range under = rows_under(op, r, conv_output.height);
    group_conv.rows(under, Target<float>{scratch, row_values, block_values});
    task.rows = under.size();
    for (int b = 0; b < group.blocks; ++b) {
      task.input = scratch + b * block_values;
      task.output = out.pixel(group.first_block + b, r, 0);
      kernels.floats.max_pool(task);
    }
  }
}

void conv_averaged(const MixedKernels& kernels, const BoundIntegerConv& conv, const BlockGroup& group,
                   IntegerGroupConv& group_conv, MixedView out, float* scratch) {
  const int height = conv.conv_output.height, width = conv.conv_output.width;
  const ptrdiff_t row_values = ptrdiff_t{width} * kChannelBlock, block_values = height * row_values;
  group_conv.rows({0, height}, Target<float>{scratch, row_values, block_values});
  for (int b = 0; b < group.blocks; ++b) {
    float mean[kChannelBlock];
    kernels.floats.average({scratch + b * block_values, row_values, height, width, mean});
    write_values(out, pixel_at(*out.layout, group.first_block + b, 0), 1, kChannelBlock, mean);
  }
}

// Values of the caller's, planes by channel: those of row y in channel 0.
const float* values_of_row(const uint8_t* image, const Layout& layout, int y) {
  return reinterpret_cast<const float*>(image) + int64_t{y} * layout.width;
}

bool input_to_quads(const IntegerKernels& kernels, const ImageBatch& batch, const uint8_t* image,
                    const IntegerInput& input, MixedView out, Range rows) {
  const Layout& layout = *out.layout;
  QuadTask task{};
  task.plane = ptrdiff_t{layout.height} * layout.width;
  task.width = layout.width;
  task.channels = layout.channels();
  task.scale = input.normalisation.scale.data();
  task.shift = input.normalisation.shift.data();
  task.inverse = inverse_of(out.quantisation);
  task.zero = static_cast<float>(out.quantisation.zero);
  bool finite = true;
  for (int y = rows.begin; y < rows.end; ++y) {
    if (batch.format == PixelFormat::kU8Nhwc) {
      task.pixels = image + int64_t{y} * layout.width * task.channels;
    } else {
      task.values = values_of_row(image, layout, y);
    }
    task.output = out.bytes().pixel(0, y, 0);
    finite &= kernels.quads(task);
  }
  return finite;
}

// Blocks of 16 channels: only for nets that do not begin with a convolution.
bool input_to_blocks(const MixedKernels& kernels, const ImageBatch& batch, const uint8_t* image,
                     const IntegerInput& input, MixedView out, Range rows) {
  const Layout& layout = *out.layout;
  const std::vector<float>&scale = input.normalisation.scale, &shift = input.normalisation.shift;
  const int channels = layout.channels(), width = layout.width;
  const ptrdiff_t plane = ptrdiff_t{layout.height} * width;
  const bool from_pixels = batch.format == PixelFormat::kU8Nhwc;
  bool finite = true;
  for (int y = rows.begin; y < rows.end; ++y) {
    const uint8_t* pixels = image + int64_t{y} * width * channels;
    const float* values = values_of_row(image, layout, y);
    for (int c = 0; c < channels && !from_pixels; ++c)
      finite &= kernels.floats.all_finite(values + c * plane, width);
    for (int x = 0; x < width; ++x) {
      float pixel[kChannelBlock] = {};
      for (int c = 0; c < channels; ++c) {
        const auto channel = static_cast<size_t>(c);
        pixel[c] = from_pixels
                       ? static_cast<float>(pixels[x * channels + c]) * scale[channel] + shift[channel]
                       : values[c * plane + x];
      }
      write_values(out, pixel_at(layout, 0, y) + int64_t{x} * kChannelBlock, 1, kChannelBlock, pixel);
    }
  }
  return finite;
}

}  // namespace

int64_t scratch_floats(const Op& op, const BoundIntegerConv& conv) {
  const int64_t row = int64_t{conv.conv_output.width} * kChannelBlock * kMaxIntegerBlocks;
  if (op.pooled && conv.packed->output.is_bytes())
    return row / int64_t{sizeof(float)};  // two, of half as many windows
  return row * (op.pooled ? 3 : op.averaged ? conv.conv_output.height : 0);
}

int64_t scratch_floats(const Layout& out) { return 2 * int64_t{out.width} * kChannelBlock; }

void run_conv(const MixedKernels& kernels, const Op& op, const BoundIntegerConv& conv, MixedView in,
              MixedView out, float* scratch, Share share) {
  const Layout& layout = *out.layout;
  const ConstByteView input{in.layout, in.bytes().data};
  for_each_group_band(conv.packed->groups, layout.height, share, [&](const BlockGroup& group, Range rows) {
    for (int b = 0; b < group.blocks; ++b) clear_border(out, group.first_block + b, rows);
    IntegerGroupConv group_conv(kernels.integers, conv, group, input);
    if (op.averaged) {
      conv_averaged(kernels, conv, group, group_conv, out, scratch);
    } else if (op.pooled && out.is_bytes()) {
      conv_pooled_bytes(kernels.integers, conv, group, group_conv, out.bytes(),
                        reinterpret_cast<uint8_t*>(scratch), rows);
    } else if (op.pooled) {
      conv_pooled_floats(kernels, op, group_conv, group, conv.conv_output, out.floats(), scratch, rows);
    } else if (out.is_bytes()) {
      const ByteView to = out.bytes();
      uint8_t* first = to.pixel(group.first_block, rows.begin, 0);
      group_conv.rows(rows, Target<uint8_t>{first, to.row_step(), to.block_step()});
    } else {
      const MutableView to = out.floats();
      float* first = to.pixel(group.first_block, rows.begin, 0);
      group_conv.rows(rows, Target<float>{first, to.row_step(), to.block_step()});
    }
  });
}

void run_max_pool(const MixedKernels& kernels, const Op& op, MixedView in, MixedView out, Share share) {
  if (!out.is_bytes()) {
    const MutableView from = in.floats();
    return run_max_pool(kernels.floats, op, {from.layout, from.data}, out.floats(), share);
  }
  auto task = pool_task<BytePoolTask>(op, in.layout->width, *out.layout);
  task.input_row = in.bytes().row_step();
  for_each_band(out.layout->blocks(), out.layout->height, share, [&](int block, Range rows) {
    clear_border(out, block, rows);
    for (int r = rows.begin; r < rows.end; ++r) {
      const Range covered = rows_under(op, r, in.layout->height);
      task.input = in.bytes().pixel(block, covered.begin, 0);
      task.rows = covered.size();
      task.output = out.bytes().pixel(block, r, 0);
      kernels.integers.max_pool(task);
    }
  });
}

void run_average(const MixedKernels& kernels, MixedView in, MixedView out, Share share) {
  if (!in.is_bytes() && !out.is_bytes()) {
    const MutableView from = in.floats();
    return run_average(kernels.floats, {from.layout, from.data}, out.floats(), share);
  }
  const int height = in.layout->height, width = in.layout->width;
  const float part = 1.0f / (static_cast<float>(height) * static_cast<float>(width));
  for_each_band(out.layout->blocks(), 1, share, [&](int block, Range rows) {
    clear_border(out, block, rows);
    float sum[kChannelBlock] = {}, pixel[kChannelBlock];
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        read_values(in, pixel_at(*in.layout, block, y) + int64_t{x} * kChannelBlock, 1, kChannelBlock, pixel);
        for (int lane = 0; lane < kChannelBlock; ++lane) sum[lane] += pixel[lane];
      }
    }
    for (float& s : sum) s *= part;
    write_values(out, pixel_at(*out.layout, block, 0), 1, kChannelBlock, sum);
  });
}

void run_add(const Op& op, MixedView a, MixedView b, MixedView out, float* scratch, Share share) {
  const Layout& layout = *out.layout;
  const bool same_blocks = a.layout->same_channels(*b.layout);
  // All channels of a row of a block at once; or, where Fires have different widths, one by one.
  const int units = same_blocks ? layout.blocks() : layout.channels();
  const int64_t step = same_blocks ? 1 : kChannelBlock;
  const int64_t count = int64_t{layout.width} * (same_blocks ? kChannelBlock : 1);
  float *sum = scratch, *term = scratch + count;
  const auto at = [&](const MixedView& view, int unit, int y) {
    if (same_blocks) return pixel_at(*view.layout, unit, y);
    return pixel_at(*view.layout, 0, y) + view.layout->channel_offset(unit);
  };
  const Range mine = share_of(layout.height, share);
  for (int block = 0; block < layout.blocks(); ++block) {
    clear_border(out, block, mine);
    if (same_blocks) continue;
    for (int y = mine.begin; y < mine.end; ++y) {  // lanes without a channel
      std::fill_n(term, kChannelBlock, 0.0f);
      for (int x = 0; x < layout.width; ++x)
        write_values(out, pixel_at(layout, block, y) + int64_t{x} * kChannelBlock, 1, kChannelBlock, term);
    }
  }
  for (int unit = 0; unit < units; ++unit) {
    for (int y = mine.begin; y < mine.end; ++y) {
      read_values(a, at(a, unit, y), step, count, sum);
      read_values(b, at(b, unit, y), step, count, term);
      for (int64_t k = 0; k < count; ++k) sum[k] += term[k];
      if (op.relu) std::transform(sum, sum + count, sum, [](float s) { return std::max(s, 0.0f); });
      write_values(out, at(out, unit, y), step, count, sum);
    }
  }
}

IntegerInput integer_input(const MixedKernels& kernels, Normalisation normalisation, const Quantisation& q) {
  IntegerInput input;
  const std::vector<float>&scale = normalisation.scale, &shift = normalisation.shift;
  if (kernels.rgb_quads != nullptr && scale.size() == 3 && q.is_bytes()) {
    for (size_t c = 0; c < scale.size(); ++c) {
      for (int pixel = 0; pixel < 256; ++pixel) {
        const int activation = quantised(static_cast<float>(pixel) * scale[c] + shift[c], q, inverse_of(q));
        input.rgb_bytes.push_back(static_cast<uint8_t>(activation - kernels.integers.activation_offset));
      }
    }
  }
  input.normalisation = std::move(normalisation);
  return input;
}

bool run_input(const MixedKernels& kernels, const ImageBatch& batch, const uint8_t* image,
               const IntegerInput& input, MixedView out, Share share) {
  const Layout& layout = *out.layout;
  const Range rows = share_of(layout.height, share);
  for (int block = 0; block < layout.blocks(); ++block) clear_border(out, block, rows);
  if (layout.block != kQuadBlock) return input_to_blocks(kernels, batch, image, input, out, rows);
  if (batch.format == PixelFormat::kF32Nchw || input.rgb_bytes.empty())
    return input_to_quads(kernels.integers, batch, image, input, out, rows);
  const ByteView to = out.bytes();
  const ptrdiff_t input_row = ptrdiff_t{3} * layout.width;
  kernels.rgb_quads({image + rows.begin * input_row, input.rgb_bytes.data(), rows.size(), layout.width,
                     to.pixel(0, rows.begin, 0), to.row_step()});
  return true;
}

void run_output(MixedView in, float* output) {
  const Layout& layout = *in.layout;
  for (int c = 0; c < layout.channels(); ++c) {
    const int64_t channel = layout.channel_offset(c);
    for (int y = 0; y < layout.height; ++y, output += layout.width)
      read_values(in, pixel_at(layout, 0, y) + channel, layout.channel_step(), layout.width, output);
  }
}

}  // namespace squish
