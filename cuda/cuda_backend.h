// The CUDA device: blueprints bound to device memory and recorded, one recording a batch size. Works on whatever
// runtime it is given, so that tests run it on an emulated device.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend.h"
#include "cuda/program.h"

namespace squish::cuda {

class CudaBackend final : public Backend {
 public:
  CudaBackend(std::shared_ptr<const Model> model, std::unique_ptr<Runtime> runtime,
              FirePolicy policy = FirePolicy::kModelled);

  void prepare(int height, int width, int64_t count) override;
  void run(const ImageBatch& input, float* output, double* seconds) override;
  std::vector<StepInfo> explain(int height, int width) override;
  int64_t arena_bytes(int height, int width) override;

 private:
  // The launches for one format of pixels, and the same as one.
  struct Program {
    std::vector<Launch> launches;
    std::unique_ptr<Recording> recording;
  };
  struct BoundPlan {
    Blueprint blueprint;
    DeviceTaps taps;
    int64_t slice_limit;  // for images of this size
    Program programs[2];  // by format; empty while the arena has not the memory for them
  };

  Blueprint blueprint(int height, int width, int64_t images) const;
  // Images that go through the net at once: a batch may be larger than the memory for it.
  int64_t slice_limit(int height, int width) const;
  // Planned, in memory and recorded.
  BoundPlan& bound_plan(int height, int width, int64_t images);
  void reserve(size_t bytes);
  // Whether all values were finite.
  bool run_slice(const ImageBatch& slice, float* output, double* seconds);
  void run_step_by_step(const std::vector<Launch>& launches, double* seconds);

  std::shared_ptr<const Model> model_;
  std::unique_ptr<Runtime> runtime_;  // outlives what is on the device
  FirePolicy policy_;
  Normalisation normalisation_;
  Packs packs_;
  DeviceWeights weights_;
  DeviceMemory arena_;
  std::vector<std::unique_ptr<BoundPlan>> plans_;  // the latest used first
};

// The number of the device: 0 of "cuda", 1 of "cuda:1"; nothing where it is no such name.
std::optional<int> cuda_ordinal(const std::string& device);

}  // namespace squish::cuda
