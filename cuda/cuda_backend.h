// The CUDA device: blueprints bound to device memory and recorded, one recording a batch size. Works on whatever
// runtime it is given, so that tests run it on an emulated device.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "backend.h"
#include "cuda/program.h"

namespace squish::cuda {

class CudaBackend final : public Backend {
 public:
  // tensor_cores: whether they are used where the device has them.
  CudaBackend(std::shared_ptr<const Model> model, std::shared_ptr<Runtime> runtime,
              PlanPolicy policy = PlanPolicy::kModelled, StorageType storage = StorageType::kF32,
              bool tensor_cores = true);
  ~CudaBackend() override;

  void prepare(int height, int width, int64_t count) override;
  void run(const ImageBatch& input, float* output, double* seconds) override;
  std::optional<int> device_number() const override { return runtime_->properties().ordinal; }
  void enqueue(const ImageBatch& input, float* output, Stream stream) override;
  void check_stream(Stream stream) const override { runtime_->check_stream(stream); }
  void synchronise() override;
  std::unique_ptr<DeviceBuffer> allocate(size_t bytes) override;
  void order(Stream stream, Stream earlier) override;
  std::vector<StepInfo> explain(int height, int width) override;
  MemoryUse memory(int height, int width) override;

 private:
  // A recorded run, and where it reads and writes.
  struct Recorded {
    std::unique_ptr<Recording> recording;
    Ends ends;
  };
  struct BoundPlan {
    Blueprint blueprint;
    DeviceTaps taps;
    int64_t slice_limit;  // for images of this size
    // Null while the arena has not the memory for it, like the recordings.
    std::unique_ptr<Program> program;
    std::array<Recorded, 2> recorded;  // by the format of images, which are read by other kernels

    Recorded& of(PixelFormat format) { return recorded[format == PixelFormat::kF32Nchw ? 0 : 1]; }
    void unbind();
  };

  Blueprint blueprint(int height, int width, int64_t images) const;
  // What runs for such a batch: as modelled or as measured, which is done once for each pair of sizes.
  Blueprint blueprint_for(int height, int width, int64_t images);
  Blueprint tune(const Blueprint& modelled);
  // Images that go through the net at once: a batch may be larger than the memory for it.
  int64_t slice_limit(int height, int width) const;
  // Planned, in memory and recorded.
  BoundPlan& bound_plan(int height, int width, int64_t images);
  void bind(BoundPlan& bound);
  // The recording of a run with these ends.
  Recording& turn_to(BoundPlan& bound, const Ends& ends);
  void reserve(size_t bytes);
  // Calls function(plan, images, their output) for each part of the batch that goes through the net at once.
  template <typename Function>
  void each_slice(const ImageBatch& input, float* output, int64_t slice, const Function& function);
  // Puts a run on the stream, behind the one before.
  void start(BoundPlan& bound, const Ends& ends, Stream stream);
  void launch(const Program& program, size_t step, const Ends& ends, Stream stream);
  // Whether all values were finite.
  bool run_slice(BoundPlan& bound, const ImageBatch& slice, float* output, double* seconds);
  void run_step_by_step(const Program& program, const Ends& ends, double* seconds);
  void check_reaches(const void* memory, const char* what) const;

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Runtime> runtime_;  // outlives what is on the device
  PlanPolicy policy_;
  StorageType storage_;
  Normalisation normalisation_;
  Packs packs_;
  DeviceWeights weights_;
  DeviceMemory arena_;
  DeviceMemory not_finite_;                        // an int: whether a value was not, of what was enqueued
  std::unique_ptr<Event> done_;                    // the end of the run that uses the arena
  std::unique_ptr<Event> others_;                  // what order() waits for
  std::vector<std::unique_ptr<BoundPlan>> plans_;  // the latest used first
  // All that were measured, by height, width and images: a session always runs the same for them.
  std::map<std::tuple<int, int, int64_t>, Blueprint> measured_;
};

// The number of the device: 0 of "cuda", 1 of "cuda:1"; nothing where it is no such name.
std::optional<int> cuda_ordinal(const std::string& device);

}  // namespace squish::cuda
