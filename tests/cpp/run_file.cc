#include "run_file.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "format/weights.h"
#include "model/quantisation.h"
#include "plan/plan.h"
#include "reference/integers.h"
#include "reference/run.h"
#include "squish/error.h"
#include "squish/session.h"

namespace squish::testing {
namespace {

constexpr int kMaxExtent = 32;
// What a test has time and memory for; a net within the limits of the format may take gigabytes.
constexpr int64_t kMaxWeightsRun = 1 << 18, kMaxArenaFloats = 1 << 22, kMaxMacs = 1 << 22;
// Larger values may leave the range of float on their way, of which the error model knows nothing.
constexpr float kMaxWeight = 1 << 16;

Shape image_of(const Model& model) {
  const Shape shape = model.input_shape();
  return {shape.channels, std::min(shape.height, kMaxExtent), std::min(shape.width, kMaxExtent)};
}

int64_t weights_of(const Model& model) {
  int64_t weights = 0;
  for (const LayerDescription& layer : model.graph().layers()) {
    for (const ConvDescription& conv : layer.convs) weights += conv.weight_count();
  }
  return weights;
}

// From the shapes, before anything is allocated for them.
bool is_affordable(const Model& model, const Shape& image) {
  if (weights_of(model) > kMaxWeightsRun) return false;
  const std::vector<Op> ops = fuse(model.graph());
  const Plan plan = make_plan(model.graph(), ops, image.height, image.width);
  int64_t macs = 0;
  for (size_t k = 0; k < ops.size(); ++k) macs += count_macs(ops[k], plan.steps[k]);
  return plan.arena_floats <= kMaxArenaFloats && macs <= kMaxMacs;
}

bool has_moderate_weights(const Model& model) {
  bool moderate = true;
  for (const LayerDescription& layer : model.graph().layers()) {
    for (const ConvDescription& conv : layer.convs) {
      for_each_weight(conv, [&](const Weight& w) { moderate &= std::abs(w.value) <= kMaxWeight; });
      for (float bias : decode_bias(conv)) moderate &= std::abs(bias) <= kMaxWeight;
    }
  }
  return moderate;
}

// Pixels without a pattern that a net could miss.
uint8_t pixel(int64_t i) { return static_cast<uint8_t>(i * 2654435761u >> 16); }

void compare(const Model& model, const Shape& image, const std::vector<float>& pixels,
             const std::vector<float>& got) {
  const auto input = reference::read_image(model.description().input, {pixels.data(), false}, image.height,
                                           image.width, true);
  const auto wanted = reference::run(model.graph(), input, true);
  for (size_t i = 0; i < got.size(); ++i) {
    const double bound = reference::kLambda * std::sqrt(wanted.variance[i]);
    if (std::abs(got[i] - wanted.value[i]) <= bound) continue;  // NaN is not
    throw std::logic_error("output " + std::to_string(i) + ": got " + std::to_string(got[i]) + ", wanted " +
                           std::to_string(wanted.value[i]) + " within " + std::to_string(bound));
  }
}

void compare_integers(const std::shared_ptr<const Model>& model, const Shape& image,
                      const std::vector<float>& pixels) {
  const auto wanted = reference::run_in_integers(model->graph(), pixels.data(), image.height, image.width);
  std::vector<float> got(wanted.size());
  SessionOptions options;
  options.storage = "i8";
  Session(model, options)
      .run({pixels.data(), PixelFormat::kF32Nchw, 1, image.height, image.width}, got.data());
  if (got != wanted) throw std::logic_error("integer arithmetic: other bits than the reference's");
}

RunResult run(const std::shared_ptr<const Model>& model, const Shape& image) {
  std::vector<uint8_t> bytes(static_cast<size_t>(image.elements()));
  std::vector<float> floats(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = pixel(static_cast<int64_t>(i));
    floats[i] = static_cast<float>(bytes[i]) / 64 - 2;
  }
  std::vector<float> output(static_cast<size_t>(model->output_shape(image.height, image.width).elements()));
  SessionOptions options;
  options.storage = "f32";
  Session session(model, options);
  session.run({bytes.data(), PixelFormat::kU8Nhwc, 1, image.height, image.width}, output.data());
  session.run({floats.data(), PixelFormat::kF32Nchw, 1, image.height, image.width}, output.data());
  if (why_not_in_integers(model->graph()).empty()) compare_integers(model, image, floats);
  if (!has_moderate_weights(*model)) return RunResult::kRan;
  compare(*model, image, floats, output);
  return RunResult::kCompared;
}

}  // namespace

RunResult run_file(const std::vector<uint8_t>& file) {
  const auto model = Model::from_bytes(file.data(), file.size());
  const Shape image = image_of(*model);
  try {
    return is_affordable(*model, image) ? run(model, image) : RunResult::kNotRun;
  } catch (const InvalidArgument&) {
    return RunResult::kNotRun;  // the net does not admit the size
  }
}

}  // namespace squish::testing
