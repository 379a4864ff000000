#include "cpu/cpu_backend.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "cpu/dispatch.h"
#include "cpu/float_arithmetic.h"
#include "cpu/integer_arithmetic.h"
#include "finite.h"
#include "memory_size.h"
#include "model/graph.h"

namespace squish {
namespace {

// Image sizes whose plans are kept. A user who alternates between a few does not replan; one who sends every size there
// is does not fill the memory.
constexpr size_t kMaxPlans = 4;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The input, the plan's steps, the output.
int step_count(const BoundPlan& bound) { return static_cast<int>(bound.plan.steps.size()) + 2; }

std::unique_ptr<Arithmetic> make_arithmetic(const Graph& graph, const KernelTable& kernels,
                                            const SessionOptions& options) {
  if (options.storage == "i8") {
    const IntegerKernels& integers = choose_integer_kernels(kernels);
    return std::make_unique<IntegerArithmetic>(graph,
                                               MixedKernels{integers, choose_rgb_quads(integers), kernels});
  }
  return std::make_unique<FloatArithmetic>(graph, kernels, options.winograd);
}

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(std::shared_ptr<const Model> model, const SessionOptions& options) {
  return std::make_unique<CpuBackend>(std::move(model), options);
}

CpuBackend::CpuBackend(std::shared_ptr<const Model> model, const SessionOptions& options)
    : model_(std::move(model)),
      kernels_(choose_kernels(options.isa)),
      pool_(options.threads),
      arithmetic_(make_arithmetic(model_->graph(), kernels_, options)),
      workspaces_(static_cast<size_t>(options.threads)) {}

const BoundPlan& CpuBackend::bound_plan(int height, int width) {
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const auto& bound) {
    return bound->plan.height == height && bound->plan.width == width;
  });
  if (found != plans_.end()) {
    std::rotate(plans_.begin(), found, found + 1);
    return *plans_.front();
  }
  auto bound = arithmetic_->bind(height, width);
  if (plans_.size() == kMaxPlans) plans_.pop_back();
  plans_.insert(plans_.begin(), std::move(bound));
  return *plans_.front();
}

void CpuBackend::reserve(const BoundPlan& bound) {
  const size_t arena = memory_size<float>(bound.plan.arena_floats),
               scratch = memory_size<float>(bound.scratch_floats);
  for (Workspace& workspace : workspaces_) {
    if (workspace.arena.size() < arena) workspace.arena = AlignedArray<float>(arena);
    if (workspace.scratch.size() < scratch) workspace.scratch = AlignedArray<float>(scratch);
  }
}

void CpuBackend::prepare(int height, int width, int64_t /*count*/) {
  pool_.start_after_fork();
  reserve(bound_plan(height, width));
}

MemoryUse CpuBackend::memory(int height, int width) {
  const BoundPlan& bound = bound_plan(height, width);
  const int64_t bytes = pool_.size() * int64_t{sizeof(float)};
  MemoryUse use;
  use.weights = arithmetic_->weight_bytes();
  use.activations = bound.plan.arena_floats * bytes;
  use.scratch = bound.scratch_floats * bytes;
  return use;
}

std::vector<StepInfo> CpuBackend::explain(int height, int width) {
  return arithmetic_->explain(bound_plan(height, width));
}

ImageRun CpuBackend::image_run(const ImageBatch& input, float* output, int64_t n, int worker) {
  const BoundPlan& bound = *plans_.front();  // run() has put it there
  const auto* images = static_cast<const uint8_t*>(input.data);
  const int channels = model_->description().input.channels;
  return {&input, images + n * image_bytes(input, channels),
          output + n * bound.plan.steps.back().output_shape.elements(), &bound,
          workspaces_[static_cast<size_t>(worker)].arena.data()};
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
      for (int step = 0; step < step_count(*run.bound); ++step) run_step(run, step, worker, {0, 1});
    }
  });
}

void CpuBackend::run_image_together(const ImageRun& run, double* seconds) {
  for (int step = 0; step < step_count(*run.bound); ++step) {
    const double start = seconds ? now() : 0;
    pool_.each([&](int worker) { run_step(run, step, worker, {worker, pool_.size()}); });
    if (seconds) seconds[step] += now() - start;
  }
}

void CpuBackend::run_step(const ImageRun& run, int step, int worker, Share share) {
  float* scratch = workspaces_[static_cast<size_t>(worker)].scratch.data();
  if (!arithmetic_->run_step(run, step, scratch, share)) saw_not_finite_ = true;
}

}  // namespace squish
