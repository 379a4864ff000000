// The reference operations as a device: slow and exact. What `device="reference"` runs.
#include <algorithm>
#include <chrono>
#include <utility>

#include "backend.h"
#include "finite.h"
#include "format/weights.h"
#include "reference/integers.h"
#include "reference/run.h"

namespace squish {
namespace {

int64_t conv_macs(const ConvDescription& conv, const Shape& out) {
  return conv.weight_count() * out.height * out.width;
}

class ReferenceBackend final : public Backend {
 public:
  ReferenceBackend(std::shared_ptr<const Model> model, bool in_integers)
      : model_(std::move(model)), in_integers_(in_integers) {}

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
      const auto values = in_integers_ ? run_in_integers(data, is_uint8, input.height, input.width)
                                       : run_in_doubles(data, is_uint8, input.height, input.width);
      output = std::copy(values.begin(), values.end(), output);
    }
    if (seconds)
      seconds[0] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  std::vector<StepInfo> explain(int height, int width) override {
    const auto shapes = model_->graph().shapes(height, width);
    StepInfo step;
    step.layer = "all layers";
    step.kernel = in_integers_ ? "i8_reference" : "f64_reference";
    step.why = in_integers_ ? "device='reference': plain loops in integers, as the file is made for"
                            : "device='reference': plain loops in double precision";
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

  MemoryUse memory(int height, int width) override {
    model_->graph().shapes(height, width);
    return {};
  }

 private:
  std::vector<float> run_in_doubles(const uint8_t* data, bool is_uint8, int height, int width) const {
    const auto image =
        reference::read_image(model_->description().input, {data, is_uint8}, height, width, false);
    const auto output = reference::run(model_->graph(), image, false).value;
    return {output.begin(), output.end()};
  }

  std::vector<float> run_in_integers(const uint8_t* data, bool is_uint8, int height, int width) const {
    std::vector<float> normalised;
    if (is_uint8) normalised = reference::normalised(model_->description().input, data, height, width);
    const float* image = is_uint8 ? normalised.data() : reinterpret_cast<const float*>(data);
    return reference::run_in_integers(model_->graph(), image, height, width);
  }

  std::shared_ptr<const Model> model_;
  bool in_integers_;
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend(std::shared_ptr<const Model> model,
                                                const SessionOptions& options) {
  return std::make_unique<ReferenceBackend>(std::move(model), options.storage == "i8");
}

}  // namespace squish
