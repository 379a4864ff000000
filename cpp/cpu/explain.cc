#include "cpu/explain.h"

namespace squish {
namespace {

// Output blocks of the groups: all, or those in pairs.
int count_blocks(const std::vector<BlockGroup>& groups, bool only_pairs = false) {
  int blocks = 0;
  for (const BlockGroup& group : groups) blocks += only_pairs && group.blocks == 1 ? 0 : group.blocks;
  return blocks;
}

std::string why_conv(const PackedConv& conv) {
  std::string why = conv.census.text();
  const int paired = count_blocks(conv.direct_groups, true) + count_blocks(conv.winograd_groups, true);
  if (paired > 0)
    why += "; " + std::to_string(paired) + " of " + std::to_string(conv.blocks) + " blocks in pairs";
  const int tiled = count_blocks(conv.winograd_groups);
  if (tiled > 0) why += ", " + std::to_string(tiled) + " in 2x2 tiles";
  return why;
}

// "f32_cluster_16x1", "f32_winograd_2x2" or both.
std::string conv_kernel_name(const PackedConv& conv) {
  if (conv.winograd_groups.empty()) return "f32_cluster_16x1";
  return conv.direct_groups.empty() ? "f32_winograd_2x2" : "f32_cluster_16x1+winograd_2x2";
}

std::string why_conv(const PackedIntegerConv& conv) {
  std::string why = conv.census.text();
  const int64_t live = conv.live_clusters, all = conv.all_clusters;
  if (live < all) why += ", " + percent(live, all) + " of those of 16x4";
  const int paired = count_blocks(conv.groups, true);
  if (paired > 0)
    why += "; " + std::to_string(paired) + " of " + std::to_string(conv.blocks) + " blocks in pairs";
  return why;
}

}  // namespace

int64_t conv_macs_run(const PackedIntegerConv& conv, const Shape& out) {
  int64_t clusters = 0;
  for (const BlockGroup& group : conv.groups) clusters += group.columns * group.blocks;
  return clusters * kClusterOutputs * kClusterInputs * out.height * out.width;
}

int64_t conv_macs_run(const PackedConv& conv, const Shape& out) {
  int64_t direct = 0, per_tile = 0;
  for (const BlockGroup& group : conv.direct_groups) direct += group.columns * group.blocks * kChannelBlock;
  for (const BlockGroup& group : conv.winograd_groups)
    per_tile += 16 * group.columns * group.blocks * kChannelBlock;
  const int64_t tiles = int64_t{(out.height + 1) / 2} * ((out.width + 1) / 2);
  return direct * out.height * out.width + per_tile * tiles;
}

StepInfo explain_input(const Plan& plan, bool made_for_integers) {
  StepInfo info;
  info.layer = "input";
  info.kernel = plan.reads_input_in_place ? "f32 in place, u8 normalised" : "f32 copied, u8 normalised";
  info.why = plan.reads_input_in_place ? "the first convolution has no padding"
                                       : "the first layer needs a border or blocks";
  if (made_for_integers) info.why += "; in floats, though the file is made for integers (storage i8)";
  const Layout& layout = plan.buffers.front().layout;
  info.output = {layout.channels(), layout.height, layout.width};
  return info;
}

StepInfo explain_op(const Op& op, const Plan& plan, size_t k, const PackedConv& conv,
                    const std::string& isa) {
  const Step& step = plan.steps[k];
  StepInfo info;
  info.layer = op.name;
  info.output = step.output_shape;
  const auto layout = [&](size_t i) { return plan.buffers[static_cast<size_t>(step.inputs[i])].layout; };
  switch (op.kind) {
    case OpKind::kConv:
      info.kernel = conv_kernel_name(conv) + "_" + isa;
      info.why = why_conv(conv);
      info.density = conv.census.density();
      info.cluster_density = conv.census.cluster_density();
      info.macs = count_macs(op, step);
      info.macs_run = conv_macs_run(conv, step.conv_output);
      break;
    case OpKind::kMaxPool:
      info.kernel = "f32_max_pool_" + isa;
      info.why = "not 3x3 with stride 2 on a convolution that nobody else reads: not fused";
      break;
    case OpKind::kGlobalAveragePool:
      info.kernel = "f32_average_" + isa;
      info.why = "its input has other readers or is no convolution's: not fused";
      break;
    case OpKind::kAdd: {
      const bool blocks = layout(0).same_channels(layout(1));
      info.kernel = blocks ? "f32_add_" + isa : "f32_add_by_channel";
      info.why = blocks ? "both inputs lie in the same blocks"
                        : "Fires of different widths: channels lie in different blocks";
      break;
    }
  }
  return info;
}

StepInfo explain_integer_input(const Plan& plan, const MixedKernels& kernels) {
  const PlannedBuffer& buffer = plan.buffers.front();
  StepInfo info;
  info.layer = "input";
  const bool quads = buffer.layout.block == kQuadBlock;
  info.kernel = quads ? std::string("i8_quads_") + kernels.integers.isa : held_name(buffer) + " by channel";
  info.why = "the file is made for integer arithmetic: " + held_text(buffer);
  if (quads && kernels.rgb_quads != nullptr && buffer.layout.channels() == 3)
    info.why += "; uint8 looked up in tables";
  info.output = {buffer.layout.channels(), buffer.layout.height, buffer.layout.width};
  return info;
}

StepInfo explain_integer_op(const Op& op, const Plan& plan, size_t k, const PackedIntegerConv& conv,
                            const MixedKernels& kernels) {
  const Step& step = plan.steps[k];
  const PlannedBuffer& output = plan.buffers[static_cast<size_t>(step.output)];
  const auto input = [&](size_t i) -> const PlannedBuffer& {
    return plan.buffers[static_cast<size_t>(step.inputs[i])];
  };
  const std::string isa = output.quantisation.is_bytes() ? kernels.integers.isa : kernels.floats.isa;
  StepInfo info;
  info.layer = op.name;
  info.output = step.output_shape;
  switch (op.kind) {
    case OpKind::kConv:
      info.kernel = std::string("i8_cluster_16x4_") + kernels.integers.isa;
      info.why = why_conv(conv) + "; " + held_text(output);
      info.density = conv.census.density();
      info.cluster_density = conv.census.cluster_density();
      info.macs = count_macs(op, step);
      info.macs_run = conv_macs_run(conv, step.conv_output);
      break;
    case OpKind::kMaxPool:
      info.kernel = held_name(output) + "_max_pool_" + isa;
      info.why = "not 3x3 with stride 2 on a convolution that nobody else reads: not fused";
      break;
    case OpKind::kGlobalAveragePool:
      info.kernel = "f32_average";
      info.why = "its input has other readers or is no convolution's: not fused; from " +
                 held_name(input(0)) + " to " + held_name(output);
      break;
    case OpKind::kAdd:
      info.kernel = input(0).layout.same_channels(input(1).layout) ? "f32_add" : "f32_add_by_channel";
      info.why = "sums of values, from " + held_name(input(0)) + " and " + held_name(input(1)) + " to " +
                 held_name(output);
      break;
  }
  return info;
}

StepInfo explain_output(const Plan& plan) {
  StepInfo info;
  info.layer = "output";
  info.kernel = "f32 copied";
  info.why = "from blocks of 16 channels to the caller's order";
  info.output = plan.steps.back().output_shape;
  return info;
}

}  // namespace squish
