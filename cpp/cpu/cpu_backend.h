// The CPU device: images on the session's threads, in one arithmetic.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend.h"
#include "cpu/aligned.h"
#include "cpu/arithmetic.h"
#include "cpu/kernel_table.h"
#include "cpu/thread_pool.h"

namespace squish {

class CpuBackend final : public Backend {
 public:
  CpuBackend(std::shared_ptr<const Model> model, const SessionOptions& options);

  void prepare(int height, int width, int64_t count) override;
  void run(const ImageBatch& input, float* output, double* seconds) override;
  std::vector<StepInfo> explain(int height, int width) override;
  MemoryUse memory(int height, int width) override;
  std::string isa() const override { return kernels_.isa; }

 private:
  // What one thread needs to run images of its own.
  struct Workspace {
    AlignedArray<float> arena;
    AlignedArray<float> scratch;
  };

  // Plans only: explain() and memory() take none for activations.
  const BoundPlan& bound_plan(int height, int width);
  void reserve(const BoundPlan& bound);
  ImageRun image_run(const ImageBatch& input, float* output, int64_t n, int worker);
  // `worker` names the scratch.
  void run_step(const ImageRun& run, int step, int worker, Share share);
  void run_images_side_by_side(const ImageBatch& input, float* output, int64_t count);
  void run_image_together(const ImageRun& run, double* seconds);

  std::shared_ptr<const Model> model_;
  const KernelTable& kernels_;
  ThreadPool pool_;
  std::unique_ptr<Arithmetic> arithmetic_;
  std::vector<std::unique_ptr<BoundPlan>> plans_;  // the latest used first
  std::vector<Workspace> workspaces_;              // one a thread
  std::atomic<bool> saw_not_finite_{false};
};

}  // namespace squish
