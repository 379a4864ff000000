// The reference operations as a device: slow and exact. What `device="reference"` runs.
#include <chrono>
#include <utility>

#include "backend.h"
#include "finite.h"
#include "format/weights.h"
#include "reference/run.h"

namespace squish {
namespace {

int64_t conv_macs(const ConvDescription& conv, const Shape& out) {
  return conv.weight_count() * out.height * out.width;
}

class ReferenceBackend final : public Backend {
 public:
  explicit ReferenceBackend(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

  void prepare(int height, int width, int64_t /*count*/) override { model_->graph().shapes(height, width); }

  // One step: the whole net.
  void run(const ImageBatch& input, float* output, double* seconds) override {
    const Shape shape{model_->input_shape().channels, input.height, input.width};
    check_finite(input, shape);
    const auto start = std::chrono::steady_clock::now();
    const bool is_uint8 = input.format == PixelFormat::kU8Nhwc;
    const int64_t bytes = image_bytes(input, shape.channels);
    for (int64_t n = 0; n < input.count; ++n) {
      const auto* data = static_cast<const uint8_t*>(input.data) + n * bytes;
      const auto image = reference::read_image(model_->description().input, {data, is_uint8}, input.height,
                                               input.width, false);
      for (double value : reference::run(model_->graph(), image, false).value)
        *output++ = static_cast<float>(value);
    }
    if (seconds)
      seconds[0] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  std::vector<StepInfo> explain(int height, int width) override {
    const auto shapes = model_->graph().shapes(height, width);
    StepInfo step;
    step.layer = "all layers";
    step.kernel = "f64_reference";
    step.why = "device='reference': plain loops in double precision";
    step.output = shapes.back();
    for (size_t k = 0; k < shapes.size(); ++k) {
      for (const ConvDescription& conv : model_->graph().layers()[k].convs) {
        // Fire keeps the size, so the squeeze's output has the layer's.
        step.macs += conv_macs(conv, shapes[k]);
      }
    }
    step.macs_run = step.macs;
    return {step};
  }

  int64_t arena_bytes(int, int) override { return 0; }

 private:
  std::shared_ptr<const Model> model_;
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend(std::shared_ptr<const Model> model) {
  return std::make_unique<ReferenceBackend>(std::move(model));
}

}  // namespace squish
