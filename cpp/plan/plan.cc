#include "plan/plan.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>

#include "model/quantisation.h"
#include "plan/memory.h"
#include "squish/error.h"

namespace squish {
namespace {

Border larger(const Border& a, const Border& b) {
  return {std::max(a.top, b.top), std::max(a.left, b.left), std::max(a.bottom, b.bottom),
          std::max(a.right, b.right)};
}

// What the readers of each buffer (0: the net's input; k: the output of op k - 1) ask of it.
struct Readers {
  Border border;  // pools clip their windows and need none
  int last = -1;  // op
  bool only_convs = true;
};

std::vector<Readers> readers_of(const std::vector<Op>& ops) {
  std::vector<Readers> readers(ops.size() + 1);
  for (size_t k = 0; k < ops.size(); ++k) {
    for (int input : ops[k].inputs) {
      Readers& reader = readers[static_cast<size_t>(input + 1)];
      reader.last = static_cast<int>(k);
      reader.only_convs &= ops[k].kind == OpKind::kConv;
      // The net's input may be planar, without tiles.
      for (const ConvDescription* conv : ops[k].convs) {
        reader.border = larger(reader.border, border_of(conv->window, input < 0));
      }
    }
  }
  return readers;
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

Step make_step(const Op& op, int output, const std::vector<PlannedBuffer>& buffers) {
  Step step;
  for (int input : op.inputs) step.inputs.push_back(input + 1);
  step.output = output;
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
  if (layout.values() <= std::numeric_limits<int32_t>::max()) return;
  throw InvalidArgument("image: got " + std::to_string(height) + "x" + std::to_string(width) +
                        " pixels: an activation would need " + std::to_string(layout.values()) +
                        " values, at most 2^31 - 1 are supported");
}

int64_t floats_of(const PlannedBuffer& buffer) {
  const int64_t values = buffer.layout.values();
  return buffer.quantisation.is_bytes() ? (values + 3) / 4 : values;
}

void place(Plan& plan, const std::vector<Readers>& readers) {
  std::vector<BufferLife> lives;
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const int producer = static_cast<int>(b) - 1;
    const bool is_output = b + 1 == plan.buffers.size();
    const int last = is_output ? static_cast<int>(plan.steps.size()) : std::max(producer, readers[b].last);
    lives.push_back({floats_of(plan.buffers[b]), producer, last, 0});
  }
  plan.arena_floats = place_buffers(lives);
  for (size_t b = 0; b < lives.size(); ++b) plan.buffers[b].offset = lives[b].offset;
}

}  // namespace

Border border_of(const Window& window, bool planar) {
  const int overhang = !planar && window.is_3x3(1) ? 1 : 0;
  return {window.pad_top, window.pad_left, window.pad_bottom + overhang, window.pad_right + overhang};
}

std::vector<Layout> channel_layouts(const Graph& graph, const std::vector<Op>& ops, ActivationOrder order) {
  const bool all_quads = order == ActivationOrder::kQuadPlanes;
  const int block = order == ActivationOrder::kPlanar ? kPlaneBlock : all_quads ? kQuadBlock : kChannelBlock;
  int input_block = block;
  if (readers_of(ops)[0].only_convs && !all_quads)
    input_block = order == ActivationOrder::kQuads ? kQuadBlock : kPlaneBlock;
  std::vector<Layout> layouts{{{graph.channels(-1)}, 1, 1, {}, input_block}};
  for (const Op& op : ops) {
    const Layout& in = layouts[static_cast<size_t>(op.inputs[0] + 1)];
    layouts.push_back({output_segments(op, in), 1, 1, {}, block});
  }
  return layouts;
}

Plan make_plan(const Graph& graph, const std::vector<Op>& ops, int height, int width, ActivationOrder order,
               const std::vector<Quantisation>& held) {
  graph.shapes(height, width);  // throws where a layer would be left without a pixel
  const std::vector<Readers> readers = readers_of(ops);
  Plan plan;
  plan.height = height;
  plan.width = width;
  for (Layout& layout : channel_layouts(graph, ops, order))
    plan.buffers.push_back({std::move(layout), {}, 0});
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    Layout& layout = plan.buffers[b].layout;
    if (order == ActivationOrder::kBlocked || order == ActivationOrder::kQuads)
      layout.border = readers[b].border;
    if (!held.empty()) plan.buffers[b].quantisation = held[b];
    layout.height = height;
    layout.width = width;
    if (b == 0) continue;
    plan.steps.push_back(make_step(ops[b - 1], static_cast<int>(b), plan.buffers));
    layout.height = plan.steps.back().output_shape.height;
    layout.width = plan.steps.back().output_shape.width;
  }
  for (const PlannedBuffer& buffer : plan.buffers) check_buffer(buffer.layout, height, width);
  const Layout& input = plan.buffers[0].layout;
  plan.reads_input_in_place = input.block == kPlaneBlock && input.block_values() == int64_t{height} * width;
  place(plan, readers);
  return plan;
}

std::vector<Quantisation> buffer_quantisations(const Graph& graph, const std::vector<Op>& ops) {
  const Quantisations held = quantisations_of(graph);
  std::vector<Quantisation> buffers{held.output_of(-1)};
  for (const Op& op : ops)
    buffers.push_back(op.last_layer < 0 ? Quantisation{} : held.output_of(op.last_layer));
  // What no layer puts out is a squeeze, and read by its expands.
  for (const Op& op : ops) {
    const auto input = static_cast<size_t>(op.inputs[0] + 1);
    if (op.kind == OpKind::kConv && input > 0 && ops[input - 1].last_layer < 0)
      buffers[input] = op.convs[0]->activation;
  }
  return buffers;
}

std::string held_name(const PlannedBuffer& buffer) { return buffer.quantisation.is_bytes() ? "i8" : "f32"; }

std::string held_text(const PlannedBuffer& buffer) {
  const Quantisation& q = buffer.quantisation;
  if (!q.is_bytes()) return "values in floats";
  char text[64];
  std::snprintf(text, sizeof text, "values in bytes, %.3g a step", static_cast<double>(q.scale));
  return text;
}

int64_t count_macs(const Op& op, const Step& step) {
  int64_t weights = op.squeeze ? op.squeeze->weight_count() : 0;  // a Fire keeps the size
  for (const ConvDescription* conv : op.convs) weights += conv->weight_count();
  return weights * step.conv_output.height * step.conv_output.width;
}

}  // namespace squish
