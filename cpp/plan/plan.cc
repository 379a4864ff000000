#include "plan/plan.h"

#include <algorithm>
#include <limits>
#include <string>

#include "plan/memory.h"
#include "squish/error.h"

namespace squish {
namespace {

// Backends may compute a 3x3 convolution in 2x2 tiles of output, the last of which hangs over an odd edge.
int overhang(const Window& w) { return w.is_3x3(1) ? 1 : 0; }

// The border that the readers of an op's output (-1: of the net's input) need. Pools clip their windows instead.
Border border_for(const std::vector<Op>& ops, int producer) {
  Border border;
  for (const Op& op : ops) {
    if (op.kind != OpKind::kConv || op.inputs[0] != producer) continue;
    for (const ConvDescription* conv : op.convs) {
      const Window& w = conv->window;
      const int extra = producer < 0 ? 0 : overhang(w);  // the net's input may be planar, without tiles
      border.top = std::max(border.top, w.pad_top);
      border.left = std::max(border.left, w.pad_left);
      border.bottom = std::max(border.bottom, w.pad_bottom + extra);
      border.right = std::max(border.right, w.pad_right + extra);
    }
  }
  return border;
}

int last_reader(const std::vector<Op>& ops, int producer) {
  int last = producer;
  for (size_t k = 0; k < ops.size(); ++k) {
    for (int input : ops[k].inputs) {
      if (input == producer) last = static_cast<int>(k);
    }
  }
  return last;
}

Layout input_layout(const Graph& graph, const std::vector<Op>& ops, int height, int width) {
  Layout layout{{graph.channels(-1)}, height, width, border_for(ops, -1), true};
  for (const Op& op : ops) {
    for (int input : op.inputs) layout.planar &= input != -1 || op.kind == OpKind::kConv;
  }
  return layout;
}

std::vector<int> output_segments(const Op& op, const Layout& input) {
  if (op.kind != OpKind::kConv) return input.segments;
  std::vector<int> segments;
  segments.reserve(op.convs.size());
  for (const ConvDescription* conv : op.convs) segments.push_back(conv->out_channels);
  return segments;
}

Shape conv_shape(const Op& op, const Layout& in, int channels) {
  const Window& w = op.convs[0]->window;  // side by side, all keep the same output size
  return {channels, conv_extent(in.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom),
          conv_extent(in.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right)};
}

Shape pool_shape(const Op& op, Shape in) {
  const Window& w = op.window;
  return {in.channels, pool_extent(in.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, op.ceil_mode),
          pool_extent(in.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, op.ceil_mode)};
}

Step make_step(const Op& op, const std::vector<PlannedBuffer>& buffers) {
  Step step;
  for (int input : op.inputs) step.inputs.push_back(input + 1);
  step.output = static_cast<int>(buffers.size());
  const Layout& in = buffers[static_cast<size_t>(step.inputs[0])].layout;
  Shape shape{in.channels(), in.height, in.width};
  if (op.kind == OpKind::kConv) {
    int channels = 0;
    for (const ConvDescription* conv : op.convs) channels += conv->out_channels;
    shape = step.conv_output = conv_shape(op, in, channels);
  }
  if (op.kind == OpKind::kMaxPool || op.pooled) shape = pool_shape(op, shape);
  if (op.kind == OpKind::kGlobalAveragePool || op.averaged) shape = {shape.channels, 1, 1};
  step.output_shape = shape;
  return step;
}

void check_buffer(const Layout& layout, int height, int width) {
  if (layout.floats() <= std::numeric_limits<int32_t>::max()) return;
  throw InvalidArgument("image: got " + std::to_string(height) + "x" + std::to_string(width) +
                        " pixels: an activation would need " + std::to_string(layout.floats()) +
                        " values, at most 2^31 - 1 are supported");
}

void place(Plan& plan, const std::vector<Op>& ops) {
  std::vector<BufferLife> lives;
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const int producer = static_cast<int>(b) - 1;
    const bool is_output = b + 1 == plan.buffers.size();
    const int last = is_output ? static_cast<int>(ops.size()) : last_reader(ops, producer);
    lives.push_back({plan.buffers[b].layout.floats() * int64_t{sizeof(float)}, producer, last, 0});
  }
  plan.arena_bytes = place_buffers(lives);
  for (size_t b = 0; b < lives.size(); ++b) plan.buffers[b].offset = lives[b].offset;
}

}  // namespace

Plan make_plan(const Graph& graph, const std::vector<Op>& ops, int height, int width) {
  graph.shapes(height, width);  // throws where a layer would be left without a pixel
  Plan plan;
  plan.height = height;
  plan.width = width;
  plan.buffers.push_back({input_layout(graph, ops, height, width), 0});
  for (size_t k = 0; k < ops.size(); ++k) {
    const Op& op = ops[k];
    plan.steps.push_back(make_step(op, plan.buffers));
    const Step& step = plan.steps.back();
    const Layout& in = plan.buffers[static_cast<size_t>(step.inputs[0])].layout;
    Layout out{output_segments(op, in), step.output_shape.height, step.output_shape.width,
               border_for(ops, static_cast<int>(k)), false};
    plan.buffers.push_back({out, 0});
  }
  for (const PlannedBuffer& buffer : plan.buffers) check_buffer(buffer.layout, height, width);
  const Layout& input = plan.buffers[0].layout;
  plan.reads_input_in_place = input.planar && input.block_floats() == int64_t{height} * width;
  place(plan, ops);
  return plan;
}

int64_t count_macs(const Op& op, const Step& step) {
  int64_t weights = 0;
  for (const ConvDescription* conv : op.convs) weights += conv->weight_count();
  return weights * step.conv_output.height * step.conv_output.width;
}

}  // namespace squish
