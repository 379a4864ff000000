#include "cpu/integer_arithmetic.h"

#include <algorithm>
#include <utility>

#include "cpu/explain.h"

namespace squish {

IntegerArithmetic::IntegerArithmetic(const Graph& graph, const MixedKernels& kernels)
    : graph_(graph),
      kernels_(kernels),
      ops_(fuse(graph)),
      held_(buffer_quantisations(graph, ops_)),
      input_(integer_input(kernels, normalisation_of(graph.net().input), held_.front())) {
  const std::vector<Layout> layouts = channel_layouts(graph, ops_, ActivationOrder::kQuads);
  for (size_t k = 0; k < ops_.size(); ++k) {
    const Op& op = ops_[k];
    if (op.kind != OpKind::kConv) {
      packed_.emplace_back();
      continue;
    }
    const Quantisation output = op.averaged ? Quantisation{} : held_[k + 1];
    packed_.push_back(
        pack_integers(op, layouts[static_cast<size_t>(op.inputs[0] + 1)], output, kernels_.integers));
  }
}

int64_t IntegerArithmetic::weight_bytes() const {
  size_t bytes = input_.rgb_bytes.size();
  for (const PackedIntegerConv& conv : packed_) {
    bytes += conv.weights.bytes() + conv.start.bytes() + conv.factor.bytes() + conv.term.bytes() +
             conv.columns.size() * kColumnBytes<QuadColumn>;
  }
  return static_cast<int64_t>(bytes);
}

std::unique_ptr<BoundPlan> IntegerArithmetic::bind(int height, int width) const {
  auto bound =
      std::make_unique<Bound>(make_plan(graph_, ops_, height, width, ActivationOrder::kQuads, held_));
  for (size_t k = 0; k < ops_.size(); ++k) {
    const Step& step = bound->plan.steps[k];
    BoundIntegerConv conv;
    int64_t scratch = scratch_floats(bound->plan.buffers[k + 1].layout);
    if (ops_[k].kind == OpKind::kConv) {
      conv.packed = &packed_[k];
      conv.conv_output = step.conv_output;
      conv.offsets =
          column_offsets(packed_[k], bound->plan.buffers[static_cast<size_t>(step.inputs[0])].layout);
      scratch = scratch_floats(ops_[k], conv);
    }
    bound->scratch_floats = std::max(bound->scratch_floats, scratch);
    bound->convs.push_back(std::move(conv));
  }
  return bound;
}

std::vector<StepInfo> IntegerArithmetic::explain(const BoundPlan& bound) const {
  std::vector<StepInfo> steps{explain_integer_input(bound.plan, kernels_)};
  for (size_t k = 0; k < ops_.size(); ++k)
    steps.push_back(explain_integer_op(ops_[k], bound.plan, k, packed_[k], kernels_));
  steps.push_back(explain_output(bound.plan));
  return steps;
}

bool IntegerArithmetic::run_step(const ImageRun& run, int step, float* scratch, Share share) const {
  if (step == 0) return run_input(kernels_, *run.batch, run.image, input_, buffer(run, 0), share);
  if (static_cast<size_t>(step) <= ops_.size()) {
    run_op(run, static_cast<size_t>(step) - 1, scratch, share);
  } else if (share.index == 0) {
    run_output(buffer(run, run.bound->plan.steps.back().output), run.output);
  }
  return true;
}

MixedView IntegerArithmetic::buffer(const ImageRun& run, int index) const {
  const PlannedBuffer& buffer = run.bound->plan.buffers[static_cast<size_t>(index)];
  return {&buffer.layout, buffer.quantisation, kernels_.integers.activation_offset,
          run.arena + buffer.offset};
}

void IntegerArithmetic::run_op(const ImageRun& run, size_t k, float* scratch, Share share) const {
  const auto& bound = static_cast<const Bound&>(*run.bound);
  const Op& op = ops_[k];
  const Step& step = bound.plan.steps[k];
  const MixedView in = buffer(run, step.inputs[0]), out = buffer(run, step.output);
  switch (op.kind) {
    case OpKind::kConv:
      return run_conv(kernels_, op, bound.convs[k], in, out, scratch, share);
    case OpKind::kMaxPool:
      return run_max_pool(kernels_, op, in, out, share);
    case OpKind::kGlobalAveragePool:
      return run_average(kernels_, in, out, share);
    case OpKind::kAdd:
      return run_add(op, in, buffer(run, step.inputs[1]), out, scratch, share);
  }
}

}  // namespace squish
