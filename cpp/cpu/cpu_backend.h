// The CPU device: plans bound to packed weights, run on the session's threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend.h"
#include "cpu/aligned.h"
#include "cpu/kernel_table.h"
#include "cpu/pack.h"
#include "cpu/steps.h"
#include "cpu/thread_pool.h"
#include "plan/plan.h"

namespace squish {

class CpuBackend final : public Backend {
 public:
  CpuBackend(std::shared_ptr<const Model> model, const SessionOptions& options);

  void prepare(int height, int width, int64_t count) override;
  void run(const ImageBatch& input, float* output, double* seconds) override;
  std::vector<StepInfo> explain(int height, int width) override;
  int64_t arena_bytes(int height, int width) override;
  std::string isa() const override { return kernels_.isa; }

 private:
  // A plan with what depends on both it and the packed weights.
  struct BoundPlan {
    Plan plan;
    std::vector<BoundConv> convs;  // one an op
    int64_t scratch_floats = 0;
  };
  // What one thread needs to run images of its own.
  struct Workspace {
    AlignedArray<float> arena;
    AlignedArray<float> scratch;
  };
  // One image on its way through the plan.
  struct ImageRun {
    const ImageBatch* batch;
    const uint8_t* image;
    float* output;
    const BoundPlan* bound;
    Workspace* workspace;
  };

  BoundPlan bind(int height, int width) const;
  // Plans only: explain() and arena_bytes() need no memory for activations.
  const BoundPlan& bound_plan(int height, int width);
  void reserve(const BoundPlan& bound);
  ImageRun image_run(const ImageBatch& input, float* output, int64_t n, int worker);
  // Step 0 is the input, steps 1 .. ops the plan's, the last the output. `worker` names the scratch.
  int step_count() const { return static_cast<int>(ops_.size()) + 2; }
  // A buffer of the plan, in the arena of the image's workspace.
  static MutableView buffer(const ImageRun& run, int index);
  void run_step(const ImageRun& run, int step, int worker, Share share);
  void run_op(const ImageRun& run, size_t op, int worker, Share share);
  void run_images_side_by_side(const ImageBatch& input, float* output, int64_t count);
  void run_image_together(const ImageRun& run, double* seconds);

  std::shared_ptr<const Model> model_;
  const KernelTable& kernels_;
  ThreadPool pool_;
  std::vector<Op> ops_;
  std::vector<PackedConv> packed_;  // one an op
  Normalisation normalisation_;
  std::vector<std::unique_ptr<BoundPlan>> plans_;  // the latest used first
  std::vector<Workspace> workspaces_;              // one a thread
  std::atomic<bool> saw_not_finite_{false};
};

}  // namespace squish
