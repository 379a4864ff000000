#include "cuda/blueprint.h"

#include <array>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>

#include "plan/census.h"
#include "squish/error.h"

namespace squish::cuda {
namespace {

Workload workload_of(const Op& op, const Step& step, int64_t images, int multiprocessors) {
  return {step.conv_output.height,
          step.conv_output.width,
          step.output_shape.height,
          step.output_shape.width,
          op.pooled,
          images,
          multiprocessors};
}

// Kernels number the pixels of an image with 31 bits, and look a little beyond the last.
void check_pixels(const Op& op, const Step& step) {
  const int64_t pixels = int64_t{step.conv_output.height} * step.conv_output.width;
  if (pixels <= std::numeric_limits<int32_t>::max() - kMaxHaloPixels) return;
  throw InvalidArgument("image: layer '" + op.name + "' would compute " + std::to_string(pixels) +
                        " pixels, at most 2^31 - 257 are supported");
}

FireChoice choose(const Workload& work, const Packs& packs, const ConvDescription& squeeze,
                  const ConvDescription& first_expand, PlanPolicy policy, StorageType storage) {
  FireChoice choice = packs.on_tensor_cores
                          ? choose_fire_mma(work, packs.bundles.at(&squeeze), packs.bundles.at(&first_expand),
                                            value_bytes(storage))
                          : choose_fire(work, int64_t{squeeze.out_channels} * value_bytes(storage),
                                        packs.convs.at(&squeeze), packs.convs.at(&first_expand));
  if (policy == PlanPolicy::kWhole) choice.whole = choice.tiling.rows > 0;
  if (policy == PlanPolicy::kApart) choice.whole = false;
  return choice;
}

// Which layers are Fires that run whole, of a net whose Fires are squeezes and expands so far.
std::vector<bool> whole_fires(const Graph& graph, const Packs& packs, const Blueprint& apart,
                              int multiprocessors, PlanPolicy policy) {
  std::vector<bool> whole(static_cast<size_t>(graph.size()));
  size_t k = 0;
  for (size_t layer = 0; layer < whole.size(); ++layer) {
    if (graph.layers()[layer].kind != LayerKind::kFire) continue;
    const ConvDescription& squeeze = graph.layers()[layer].convs[kSqueeze];
    while (apart.ops[k].convs.empty() || apart.ops[k].convs[0] != &squeeze) ++k;
    const Op& expand = apart.ops[k + 1];
    const Workload work = workload_of(expand, apart.plan.steps[k + 1], apart.images, multiprocessors);
    whole[layer] = choose(work, packs, squeeze, *expand.convs[0], policy, apart.storage).whole;
    // Expands by themselves can write the net's results as the caller has them.
    const bool last = layer + 1 == whole.size();
    if (packs.on_tensor_cores && last && policy != PlanPolicy::kWhole) whole[layer] = false;
  }
  return whole;
}

OpChoice choose(const Op& op, const Blueprint& blueprint, size_t k, const Packs& packs, int multiprocessors,
                PlanPolicy policy) {
  OpChoice choice;
  if (op.kind != OpKind::kConv) return choice;
  const Step& step = blueprint.plan.steps[k];
  check_pixels(op, step);
  const Workload work = workload_of(op, step, blueprint.images, multiprocessors);
  const BundledSteps* const bundles = packs.for_tensor_cores(op.convs[0]);
  choice.on_tensor_cores = bundles != nullptr;
  if (op.squeeze != nullptr) {
    choice.fire = choose(work, packs, *op.squeeze, *op.convs[0], policy, blueprint.storage);
    choice.tiling = choice.fire.tiling;
    return choice;
  }
  for (const ConvDescription* conv : op.convs) {
    const Window& w = conv->window;
    choice.padded |= w.pad_top > 0 || w.pad_left > 0 || w.pad_bottom > 0 || w.pad_right > 0;
  }
  if (bundles != nullptr) {  // integers, too: a product is 32 times a dp4a's
    choice.mma = choose_mma(work, *bundles);
    choice.tiling = choice.mma.tiling;
    return choice;
  }
  const auto& blocks =
      packs.in_integers() ? packs.integers.at(op.convs[0]).blocks : packs.convs.at(op.convs[0]).blocks;
  choice.pixels = choose_pixels(work, static_cast<int>(blocks.size()));
  if (op.pooled) choice.tiling = choose_tiling(work.out_height, work.out_width, true, 0).value_or(Tiling{});
  return choice;
}

std::string extent(const Tiling& tiling) {
  return std::to_string(tiling.rows * tiling.columns) + " tiles of " + std::to_string(tiling.height) + "x" +
         std::to_string(tiling.width);
}

int64_t macs_of_bundles(const Op& op, const Step& step, const OpChoice& choice, const Packs& packs) {
  const auto macs = [&](const ConvDescription* first, int64_t pixels) {
    const BundledSteps& convs = *packs.for_tensor_cores(first);
    return pixels * convs.steps() * kStepQuads * kQuad * convs.width * kClusterChannels;
  };
  if (op.squeeze == nullptr && !op.pooled) {
    return macs(op.convs[0], int64_t{step.conv_output.height} * step.conv_output.width);
  }
  const Tiling& tiling = choice.tiling;
  const int64_t height = op.pooled ? 2 * tiling.height + 1 : tiling.height,
                width = op.pooled ? 2 * tiling.width + 1 : tiling.width;
  int64_t sum = macs(op.convs[0], height * width);
  if (op.squeeze != nullptr) sum += choice.fire.splits * macs(op.squeeze, (height + 2) * (width + 2));
  return sum * tiling.rows * tiling.columns;
}

int64_t macs_run(const Op& op, const Step& step, const OpChoice& choice, const Packs& packs) {
  if (choice.on_tensor_cores) return macs_of_bundles(op, step, choice, packs);
  const int64_t taps = packs.in_integers() ? kQuad * packs.integers.at(op.convs[0]).taps()
                                           : packs.convs.at(op.convs[0]).taps();
  if (op.squeeze == nullptr && !op.pooled) {
    return kClusterChannels * taps * step.conv_output.height * step.conv_output.width;
  }
  const Tiling& tiling = choice.tiling;
  const int64_t height = op.pooled ? 2 * tiling.height + 1 : tiling.height,
                width = op.pooled ? 2 * tiling.width + 1 : tiling.width;
  int64_t steps = taps * height * width;
  if (op.squeeze != nullptr) {
    steps += choice.fire.splits * packs.convs.at(op.squeeze).taps() * (height + 2) * (width + 2);
  }
  return kClusterChannels * steps * tiling.rows * tiling.columns;
}

std::string why_on_tensor_cores(const Op& op, const OpChoice& choice, const BundledSteps& convs) {
  std::string why = "; " + std::to_string(convs.steps()) + " steps of 4 quads by " +
                    std::to_string(convs.width * kClusterChannels) + " channels, " +
                    std::to_string(convs.live_quads) + " quads live";
  if (!op.pooled && op.squeeze == nullptr) {
    why += "; a warp has " + std::to_string(choice.mma.tiles * kTilePixels) + " pixels";
    if (choice.mma.slices > 1) why += ", its sums in " + std::to_string(choice.mma.slices) + " slices";
  }
  return why;
}

std::string why_in_integers(const PackedIntegerConvs& convs) {
  if (convs.taps() == convs.all_clusters) return "";
  return ", " + percent(convs.taps(), convs.all_clusters) + " of those of 16x4";
}

std::string microseconds(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f us", seconds * 1e6);
  return text.data();
}

std::string why_measured(const Measured& measured) {
  return "measured " + microseconds(measured.seconds) + ", the model's way " +
         microseconds(measured.modelled) + ", of " + std::to_string(measured.ways) + " ways the fastest " +
         microseconds(measured.least);
}

void explain_conv(const Op& op, const Step& step, const OpChoice& choice, const Packs& packs,
                  const std::string& storage, StepInfo& info) {
  const WeightCensus census = take_census(op);
  const std::string after = op.pooled ? "_pooled" : "";
  info.kernel = storage + (op.squeeze != nullptr ? "_fire" : "_conv") +
                (packs.in_integers()     ? "_16x4"
                 : packs.on_tensor_cores ? ""
                                         : "_16x1") +
                (choice.on_tensor_cores ? "_mma" : "") + after + "_cuda";
  info.why = census.text();
  if (packs.in_integers()) info.why += why_in_integers(packs.integers.at(op.convs[0]));
  if (choice.on_tensor_cores)
    info.why += why_on_tensor_cores(op, choice, *packs.for_tensor_cores(op.convs[0]));
  if (op.squeeze != nullptr) {
    info.why += "; " + extent(choice.tiling) + " in " + std::to_string(choice.fire.splits) +
                " splits, squeeze in shared memory: " + std::to_string(choice.fire.steps_whole) +
                " steps in the model, " + std::to_string(choice.fire.steps_apart) + " apart";
  } else if (op.pooled) {
    info.why += "; " + extent(choice.tiling);
  } else if (!choice.on_tensor_cores) {
    info.why +=
        "; " + std::to_string(choice.pixels) + (choice.pixels == 1 ? " pixel" : " pixels") + " a thread";
  }
  if (!choice.on_tensor_cores && storage == "f16") {
    info.why += "; up to " + std::to_string(kHalfTaps) + " products are added in f16";
  }
  if (choice.measured.ways > 0) info.why += "; " + why_measured(choice.measured);
  info.density = census.density();
  info.cluster_density = census.cluster_density();
  info.macs = count_macs(op, step);
  info.macs_run = macs_run(op, step, choice, packs);
}

// What of integer arithmetic is held in bytes, and what in floats.
void explain_held(const Op& op, const Blueprint& blueprint, size_t k, StepInfo& info) {
  const auto& buffers = blueprint.plan.buffers;
  const Step& step = blueprint.plan.steps[k];
  const PlannedBuffer& output = buffers[static_cast<size_t>(step.output)];
  const auto input = [&](size_t i) { return held_name(buffers[static_cast<size_t>(step.inputs[i])]); };
  switch (op.kind) {
    case OpKind::kConv:
      info.why += "; " + held_text(output);
      break;
    case OpKind::kMaxPool:
      info.kernel = input(0) + "_max_pool_cuda";
      break;
    case OpKind::kGlobalAveragePool:
      info.kernel = input(0) + "_average_cuda";
      info.why = "a block of threads for 4 channels, each added up in order; from " + input(0) + " to " +
                 held_name(output);
      break;
    case OpKind::kAdd:
      info.kernel = held_name(output) + "_add_cuda";
      info.why = "sums of values, from " + input(0) + " and " + input(1) + " to " + held_name(output);
      break;
  }
}

}  // namespace

const BundledSteps* Packs::for_tensor_cores(const ConvDescription* first) const {
  if (on_tensor_cores) return &bundles.at(first);
  const auto found = quad_bundles.find(first);
  return found == quad_bundles.end() ? nullptr : &found->second;
}

Packs pack_net(const Graph& graph, bool tensor_cores, StorageType storage) {
  Packs packs;
  packs.storage = storage;
  const std::vector<Op> ops = fuse(graph, {{}, false});
  const std::vector<Layout> layouts = channel_layouts(
      graph, ops, packs.in_integers() ? ActivationOrder::kQuadPlanes : ActivationOrder::kBorderless);
  packs.on_tensor_cores = tensor_cores && !packs.in_integers() && layouts[0].block == kPlaneBlock;
  if (packs.in_integers()) packs.held = buffer_quantisations(graph, ops);
  for (size_t k = 0; k < ops.size(); ++k) {
    const Op& op = ops[k];
    if (op.kind != OpKind::kConv) continue;
    const Layout& input = layouts[static_cast<size_t>(op.inputs[0] + 1)];
    if (packs.in_integers()) {
      const auto& convs =
          packs.integers.emplace(op.convs[0], pack_integers(op.convs, input, packs.held[k + 1]))
              .first->second;
      if (tensor_cores) packs.quad_bundles.emplace(op.convs[0], pack_quad_bundles(convs));
    } else if (packs.on_tensor_cores) {
      packs.bundles.emplace(op.convs[0], pack_bundles(op.convs, input));
    } else {
      packs.convs.emplace(op.convs[0], pack(op.convs));
    }
  }
  return packs;
}

bool Blueprint::writes_results() const {
  const Op& last = ops.back();
  if (storage == StorageType::kI8) {
    // No convolution reads the output, so it is in floats.
    const bool writes =
        last.kind == OpKind::kGlobalAveragePool || (last.kind == OpKind::kConv && !last.pooled);
    return !writes;
  }
  if (!on_tensor_cores) return storage == StorageType::kF16;
  if (last.kind == OpKind::kConv) return last.pooled || last.squeeze != nullptr;
  return last.kind != OpKind::kGlobalAveragePool || plan.buffers.back().layout.segments.size() > 1;
}

namespace {

// whole_layers(blueprint) says which layers are Fires that run whole, of a net whose Fires are squeezes and expands so far.
template <typename WholeLayers>
Blueprint make_blueprint(const Graph& graph, const Packs& packs, int height, int width, int64_t images,
                         int multiprocessors, PlanPolicy policy, const WholeLayers& whole_layers) {
  Blueprint blueprint;
  blueprint.images = images;
  blueprint.storage = packs.storage;
  blueprint.on_tensor_cores = packs.on_tensor_cores;
  const ActivationOrder order = packs.in_integers()     ? ActivationOrder::kQuadPlanes
                                : packs.on_tensor_cores ? ActivationOrder::kBorderless
                                                        : ActivationOrder::kPlanar;
  const auto plan = [&](std::vector<Op> ops) {
    blueprint.plan = make_plan(graph, ops, height, width, order, packs.held);
    blueprint.ops = std::move(ops);
  };
  plan(fuse(graph, {{}, false}));
  if (!packs.in_integers()) plan(fuse(graph, {whole_layers(blueprint), false}));
  for (size_t k = 0; k < blueprint.ops.size(); ++k) {
    blueprint.choices.push_back(choose(blueprint.ops[k], blueprint, k, packs, multiprocessors, policy));
  }
  return blueprint;
}

}  // namespace

Blueprint make_blueprint(const Graph& graph, const Packs& packs, int height, int width, int64_t images,
                         int multiprocessors, PlanPolicy policy) {
  return make_blueprint(
      graph, packs, height, width, images, multiprocessors, policy,
      [&](const Blueprint& apart) { return whole_fires(graph, packs, apart, multiprocessors, policy); });
}

Blueprint make_blueprint(const Graph& graph, const Packs& packs, int height, int width, int64_t images,
                         int multiprocessors, const std::vector<bool>& whole) {
  return make_blueprint(graph, packs, height, width, images, multiprocessors, PlanPolicy::kModelled,
                        [&](const Blueprint&) { return whole; });
}

Workload workload_of(const Blueprint& blueprint, size_t k, int multiprocessors) {
  return workload_of(blueprint.ops[k], blueprint.plan.steps[k], blueprint.images, multiprocessors);
}

std::vector<StepInfo> explain(const Blueprint& blueprint, const Packs& packs) {
  const bool halves = blueprint.storage == StorageType::kF16,
             integers = blueprint.storage == StorageType::kI8;
  const std::string storage = halves ? "f16" : integers ? "i8" : "f32";
  StepInfo input;
  input.layer = "input";
  const char* const floats = halves                      ? "f32 to f16"
                             : blueprint.on_tensor_cores ? "f32 to quads"
                                                         : "f32 in place";
  input.kernel = std::string(floats) + ", u8 normalised";
  input.why = blueprint.on_tensor_cores ? "four channels of a pixel lie together"
                                        : "activations are planar, as the caller's floats are";
  const Layout& layout = blueprint.plan.buffers.front().layout;
  if (integers) {
    const PlannedBuffer& buffer = blueprint.plan.buffers.front();
    input.kernel = held_name(buffer) + "_quads_cuda";
    input.why = "the file is made for integer arithmetic: " + held_text(buffer);
  }
  if (blueprint.measured.ways > 0)
    input.why += "; a run took " + microseconds(blueprint.measured.seconds) + ", as modelled " +
                 microseconds(blueprint.measured.modelled);
  input.output = {layout.channels(), layout.height, layout.width};
  std::vector<StepInfo> steps{input};
  for (size_t k = 0; k < blueprint.ops.size(); ++k) {
    const Op& op = blueprint.ops[k];
    StepInfo info;
    info.layer = op.name;
    info.output = blueprint.plan.steps[k].output_shape;
    switch (op.kind) {
      case OpKind::kConv:
        explain_conv(op, blueprint.plan.steps[k], blueprint.choices[k], packs, storage, info);
        break;
      case OpKind::kMaxPool:
        info.kernel = storage + "_max_pool_cuda";
        info.why = "not 3x3 with stride 2 on a convolution that nobody else reads: not fused";
        break;
      case OpKind::kGlobalAveragePool:
        info.kernel = storage + "_average_cuda";
        info.why =
            blueprint.on_tensor_cores ? "a block of threads for 16 channels" : "a block of threads a channel";
        break;
      case OpKind::kAdd:
        info.kernel = storage + "_add_cuda";
        info.why = "value by value: both inputs lie alike";
        break;
    }
    if (integers) explain_held(op, blueprint, k, info);
    steps.push_back(std::move(info));
  }
  if (blueprint.writes_results()) {
    StepInfo output;
    output.layer = "output";
    output.kernel = halves ? "f16 to f32" : "f32 to planar";
    output.why = "the caller's results are planar floats";
    output.output = steps.back().output;
    steps.push_back(std::move(output));
  }
  return steps;
}

}  // namespace squish::cuda
