#include "cpu/cpu_backend.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "cpu/dispatch.h"
#include "cpu/explain.h"
#include "cpu/winograd.h"
#include "finite.h"

namespace squish {
namespace {

// Image sizes whose plans are kept. A user who alternates between a few does not replan; one who sends every size there
// is does not fill the memory.
constexpr size_t kMaxPlans = 4;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(std::shared_ptr<const Model> model, const SessionOptions& options) {
  return std::make_unique<CpuBackend>(std::move(model), options);
}

CpuBackend::CpuBackend(std::shared_ptr<const Model> model, const SessionOptions& options)
    : model_(std::move(model)),
      kernels_(choose_kernels(options.isa)),
      pool_(options.threads),
      ops_(fuse(model_->graph())),
      normalisation_(normalisation_of(model_->description().input)),
      workspaces_(static_cast<size_t>(options.threads)) {
  const PackOptions packing{kernels_.max_group, options.winograd};
  for (const Op& op : ops_) {
    packed_.push_back(op.kind == OpKind::kConv ? pack(op, packing) : PackedConv{});
  }
}

CpuBackend::BoundPlan CpuBackend::bind(int height, int width) const {
  BoundPlan bound{make_plan(model_->graph(), ops_, height, width), {}, 0};
  for (size_t k = 0; k < ops_.size(); ++k) {
    BoundConv conv;
    if (ops_[k].kind == OpKind::kConv) {
      const Step& step = bound.plan.steps[k];
      const Layout& in = bound.plan.buffers[static_cast<size_t>(step.inputs[0])].layout;
      conv.packed = &packed_[k];
      conv.conv_output = step.conv_output;
      conv.tiles = tile_grid(conv.conv_output, ops_[k].pooled);
      conv.offsets = column_offsets(packed_[k], in, conv.tiles.band_tiles());
      bound.scratch_floats = std::max(bound.scratch_floats, scratch_floats(ops_[k], conv, in));
    }
    bound.convs.push_back(std::move(conv));
  }
  return bound;
}

const CpuBackend::BoundPlan& CpuBackend::bound_plan(int height, int width) {
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const auto& bound) {
    return bound->plan.height == height && bound->plan.width == width;
  });
  if (found != plans_.end()) {
    std::rotate(plans_.begin(), found, found + 1);
    return *plans_.front();
  }
  auto bound = std::make_unique<BoundPlan>(bind(height, width));
  if (plans_.size() == kMaxPlans) plans_.pop_back();
  plans_.insert(plans_.begin(), std::move(bound));
  return *plans_.front();
}

void CpuBackend::reserve(const BoundPlan& bound) {
  const auto arena = static_cast<size_t>(bound.plan.arena_floats),
             scratch = static_cast<size_t>(bound.scratch_floats);
  for (Workspace& workspace : workspaces_) {
    if (workspace.arena.size() < arena) workspace.arena = AlignedArray<float>(arena);
    if (workspace.scratch.size() < scratch) workspace.scratch = AlignedArray<float>(scratch);
  }
}

void CpuBackend::prepare(int height, int width, int64_t /*count*/) { reserve(bound_plan(height, width)); }

int64_t CpuBackend::arena_bytes(int height, int width) {
  return bound_plan(height, width).plan.arena_floats * int64_t{sizeof(float)};
}

std::vector<StepInfo> CpuBackend::explain(int height, int width) {
  const BoundPlan& bound = bound_plan(height, width);
  std::vector<StepInfo> steps{explain_input(bound.plan)};
  for (size_t k = 0; k < ops_.size(); ++k) {
    steps.push_back(explain_op(ops_[k], bound.plan, k, packed_[k], kernels_.isa));
  }
  steps.push_back(explain_output(bound.plan));
  return steps;
}

CpuBackend::ImageRun CpuBackend::image_run(const ImageBatch& input, float* output, int64_t n, int worker) {
  const BoundPlan& bound = *plans_.front();  // run() has put it there
  const auto* images = static_cast<const uint8_t*>(input.data);
  const int channels = model_->description().input.channels;
  return {&input, images + n * image_bytes(input, channels),
          output + n * bound.plan.steps.back().output_shape.elements(), &bound,
          &workspaces_[static_cast<size_t>(worker)]};
}

void CpuBackend::run(const ImageBatch& input, float* output, double* seconds) {
  prepare(input.height, input.width, input.count);
  saw_not_finite_ = false;
  // Whole images side by side need no waiting for each other; what is left over is shared out step by step.
  const int64_t side_by_side =
      seconds == nullptr && pool_.size() > 1 ? input.count / pool_.size() * pool_.size() : 0;
  if (side_by_side > 0) run_images_side_by_side(input, output, side_by_side);
  for (int64_t n = side_by_side; n < input.count; ++n)
    run_image_together(image_run(input, output, n, 0), seconds);
  if (saw_not_finite_) check_finite(input, {model_->description().input.channels, input.height, input.width});
}

void CpuBackend::run_images_side_by_side(const ImageBatch& input, float* output, int64_t count) {
  pool_.each([&](int worker) {
    for (int64_t n = worker; n < count; n += pool_.size()) {
      const ImageRun run = image_run(input, output, n, worker);
      for (int step = 0; step < step_count(); ++step) run_step(run, step, worker, {0, 1});
    }
  });
}

void CpuBackend::run_image_together(const ImageRun& run, double* seconds) {
  for (int step = 0; step < step_count(); ++step) {
    const double start = seconds ? now() : 0;
    pool_.each([&](int worker) { run_step(run, step, worker, {worker, pool_.size()}); });
    if (seconds) seconds[step] += now() - start;
  }
}

MutableView CpuBackend::buffer(const ImageRun& run, int index) {
  const PlannedBuffer& buffer = run.bound->plan.buffers[static_cast<size_t>(index)];
  return {&buffer.layout, run.workspace->arena.data() + buffer.offset};
}

void CpuBackend::run_step(const ImageRun& run, int step, int worker, Share share) {
  const Plan& plan = run.bound->plan;
  if (step == 0) {
    const bool is_float = run.batch->format == PixelFormat::kF32Nchw;
    if (is_float) {
      const Range rows = share_of(plan.buffers.front().layout.channels() * plan.height, share);
      const auto* values = reinterpret_cast<const float*>(run.image);
      const int64_t first = int64_t{rows.begin} * plan.width;
      if (!kernels_.all_finite(values + first, int64_t{rows.size()} * plan.width)) saw_not_finite_ = true;
    }
    if (is_float && plan.reads_input_in_place) return;
    run_input(kernels_, *run.batch, run.image, normalisation_, buffer(run, 0), share);
  } else if (step + 1 == step_count()) {
    const MutableView last = buffer(run, plan.steps.back().output);
    if (share.index == 0) run_output({last.layout, last.data}, run.output);
  } else {
    run_op(run, static_cast<size_t>(step) - 1, worker, share);
  }
}

void CpuBackend::run_op(const ImageRun& run, size_t k, int worker, Share share) {
  const Plan& plan = run.bound->plan;
  const Op& op = ops_[k];
  const Step& step = plan.steps[k];
  const auto input = [&](size_t i) -> ConstView {
    const int b = step.inputs[i];
    const MutableView view = buffer(run, b);
    const bool in_place = b == 0 && plan.reads_input_in_place && run.batch->format == PixelFormat::kF32Nchw;
    return {view.layout, in_place ? reinterpret_cast<const float*>(run.image) : view.data};
  };
  const MutableView out = buffer(run, step.output);
  switch (op.kind) {
    case OpKind::kConv:
      return run_conv(kernels_, op, run.bound->convs[k], input(0), out,
                      workspaces_[static_cast<size_t>(worker)].scratch.data(), share);
    case OpKind::kMaxPool:
      return run_max_pool(kernels_, op, input(0), out, share);
    case OpKind::kGlobalAveragePool:
      return run_average(kernels_, input(0), out, share);
    case OpKind::kAdd:
      return run_add(kernels_, op, input(0), input(1), out, share);
  }
}

}  // namespace squish
