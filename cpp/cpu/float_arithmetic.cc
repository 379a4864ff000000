#include "cpu/float_arithmetic.h"

#include <algorithm>
#include <utility>

#include "cpu/explain.h"
#include "cpu/winograd.h"
#include "model/quantisation.h"

namespace squish {
namespace {

MutableView buffer(const ImageRun& run, int index) {
  const PlannedBuffer& buffer = run.bound->plan.buffers[static_cast<size_t>(index)];
  return {&buffer.layout, run.arena + buffer.offset};
}

}  // namespace

FloatArithmetic::FloatArithmetic(const Graph& graph, const KernelTable& kernels, bool winograd)
    : graph_(graph),
      kernels_(kernels),
      ops_(fuse(graph)),
      normalisation_(normalisation_of(graph.net().input)) {
  const PackOptions packing{kernels_.max_group, winograd};
  for (const Op& op : ops_) {
    packed_.push_back(op.kind == OpKind::kConv ? pack(op, packing) : PackedConv{});
  }
}

int64_t FloatArithmetic::weight_bytes() const {
  size_t bytes = 0;
  for (const PackedConv& conv : packed_)
    bytes += conv.weights.bytes() + conv.bias.bytes() + conv.columns.size() * kColumnBytes<Column>;
  return static_cast<int64_t>(bytes);
}

std::unique_ptr<BoundPlan> FloatArithmetic::bind(int height, int width) const {
  auto bound = std::make_unique<Bound>(make_plan(graph_, ops_, height, width));
  for (size_t k = 0; k < ops_.size(); ++k) {
    BoundConv conv;
    if (ops_[k].kind == OpKind::kConv) {
      const Step& step = bound->plan.steps[k];
      const Layout& in = bound->plan.buffers[static_cast<size_t>(step.inputs[0])].layout;
      conv.packed = &packed_[k];
      conv.conv_output = step.conv_output;
      conv.tiles = tile_grid(conv.conv_output, ops_[k].pooled);
      conv.offsets = column_offsets(packed_[k], in, conv.tiles.band_tiles());
      bound->scratch_floats = std::max(bound->scratch_floats, scratch_floats(ops_[k], conv, in));
    }
    bound->convs.push_back(std::move(conv));
  }
  return bound;
}

std::vector<StepInfo> FloatArithmetic::explain(const BoundPlan& bound) const {
  std::vector<StepInfo> steps{explain_input(bound.plan, why_not_in_integers(graph_).empty())};
  for (size_t k = 0; k < ops_.size(); ++k) {
    steps.push_back(explain_op(ops_[k], bound.plan, k, packed_[k], kernels_.isa));
  }
  steps.push_back(explain_output(bound.plan));
  return steps;
}

bool FloatArithmetic::run_step(const ImageRun& run, int step, float* scratch, Share share) const {
  if (step == 0) return run_input(run, share);
  if (static_cast<size_t>(step) <= ops_.size()) {
    run_op(run, static_cast<size_t>(step) - 1, scratch, share);
  } else if (share.index == 0) {
    const MutableView last = buffer(run, run.bound->plan.steps.back().output);
    run_output({last.layout, last.data}, run.output);
  }
  return true;
}

bool FloatArithmetic::run_input(const ImageRun& run, Share share) const {
  const Plan& plan = run.bound->plan;
  const bool is_float = run.batch->format == PixelFormat::kF32Nchw;
  bool finite = true;
  if (is_float) {
    const Range rows = share_of(plan.buffers.front().layout.channels() * plan.height, share);
    const auto* values = reinterpret_cast<const float*>(run.image);
    const int64_t first = int64_t{rows.begin} * plan.width;
    finite = kernels_.all_finite(values + first, int64_t{rows.size()} * plan.width);
  }
  if (!is_float || !plan.reads_input_in_place)
    squish::run_input(kernels_, *run.batch, run.image, normalisation_, buffer(run, 0), share);
  return finite;
}

void FloatArithmetic::run_op(const ImageRun& run, size_t k, float* scratch, Share share) const {
  const auto& bound = static_cast<const Bound&>(*run.bound);
  const Op& op = ops_[k];
  const Step& step = bound.plan.steps[k];
  const auto input = [&](size_t i) -> ConstView {
    const int b = step.inputs[i];
    const MutableView view = buffer(run, b);
    const bool in_place =
        b == 0 && bound.plan.reads_input_in_place && run.batch->format == PixelFormat::kF32Nchw;
    return {view.layout, in_place ? reinterpret_cast<const float*>(run.image) : view.data};
  };
  const MutableView out = buffer(run, step.output);
  switch (op.kind) {
    case OpKind::kConv:
      return run_conv(kernels_, op, bound.convs[k], input(0), out, scratch, share);
    case OpKind::kMaxPool:
      return run_max_pool(kernels_, op, input(0), out, share);
    case OpKind::kGlobalAveragePool:
      return run_average(kernels_, input(0), out, share);
    case OpKind::kAdd:
      return run_add(kernels_, op, input(0), input(1), out, share);
  }
}

}  // namespace squish
