// The seam between sessions and devices. A backend runs one model for one session; Session owns it and calls
// it from one thread at a time. It keeps what it needs for the image sizes it has seen.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "squish/model.h"
#include "squish/session.h"

namespace squish {

class Backend {
 public:
  virtual ~Backend() = default;

  // Plans for batches of so many images of this size. Throws InvalidArgument where the net does not admit it.
  virtual void prepare(int height, int width, int64_t count) = 0;

  // Computes the batch, which Session has checked, into output. If `seconds` is not null, image by image, adding
  // to seconds[step] the time of each step.
  virtual void run(const ImageBatch& input, float* output, double* seconds) = 0;

  // The n of "cuda:n". Session calls what follows only where there is one.
  virtual std::optional<int> device_number() const { return {}; }
  // Prepares, too, once it has seen that the stream takes work.
  virtual void enqueue(const ImageBatch& /*input*/, float* /*output*/, void* /*stream*/) {}
  virtual void check_stream(void* /*stream*/) const {}
  virtual void synchronise() {}
  virtual std::unique_ptr<DeviceBuffer> allocate(size_t /*bytes*/) { return nullptr; }
  virtual void order(void* /*stream*/, void* /*earlier*/) {}

  virtual std::vector<StepInfo> explain(int height, int width) = 0;
  // Session adds what the model takes.
  virtual MemoryUse memory(int height, int width) = 0;
  virtual std::string isa() const { return {}; }
};

// Of one image of the batch.
inline int64_t image_bytes(const ImageBatch& batch, int channels) {
  const int64_t bytes_per_value = batch.format == PixelFormat::kU8Nhwc ? 1 : sizeof(float);
  return int64_t{channels} * batch.height * batch.width * bytes_per_value;
}

std::unique_ptr<Backend> make_cpu_backend(std::shared_ptr<const Model> model, const SessionOptions& options);
std::unique_ptr<Backend> make_reference_backend(std::shared_ptr<const Model> model,
                                                const SessionOptions& options);
// Where the build has CUDA. options.device begins with "cuda".
std::unique_ptr<Backend> make_cuda_backend(std::shared_ptr<const Model> model, const SessionOptions& options);

}  // namespace squish
