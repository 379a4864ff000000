#include "cuda/cuda_backend.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "finite.h"

namespace squish::cuda {
namespace {

// Of an image size and batch size each. A recording costs milliseconds to make.
constexpr size_t kMaxPlans = 8;
// Beyond it larger batches gain nothing, and the memory is the caller's to use.
constexpr int64_t kMaxSliceImages = 256, kMaxSliceBytes = int64_t{4} << 30;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

CudaBackend::CudaBackend(std::shared_ptr<const Model> model, std::unique_ptr<Runtime> runtime,
                         FirePolicy policy)
    : model_(std::move(model)),
      runtime_(std::move(runtime)),
      policy_(policy),
      normalisation_(normalisation_of(model_->description().input)),
      packs_(pack_net(model_->graph())),
      weights_(*runtime_, packs_) {}

Blueprint CudaBackend::blueprint(int height, int width, int64_t images) const {
  return make_blueprint(model_->graph(), packs_, height, width, images,
                        runtime_->properties().multiprocessors, policy_);
}

int64_t CudaBackend::slice_limit(int height, int width) const {
  for (const auto& bound : plans_) {
    const Plan& plan = bound->blueprint.plan;
    if (plan.height == height && plan.width == width) return bound->slice_limit;
  }
  const auto bytes = static_cast<int64_t>(Arena::bytes(blueprint(height, width, 1)));
  return std::clamp<int64_t>(kMaxSliceBytes / bytes, 1, kMaxSliceImages);
}

void CudaBackend::reserve(size_t bytes) {
  if (arena_.bytes() >= bytes) return;
  // The old one first: both may not fit. Should even the new one alone not fit, the next run makes one of its size.
  for (auto& plan : plans_) {
    for (Program& program : plan->programs) program = {};
  }
  arena_.reset();
  arena_ = DeviceMemory(*runtime_, bytes);
}

CudaBackend::BoundPlan& CudaBackend::bound_plan(int height, int width, int64_t images) {
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const auto& bound) {
    const Blueprint& b = bound->blueprint;
    return b.plan.height == height && b.plan.width == width && b.images == images;
  });
  if (found != plans_.end()) {
    std::rotate(plans_.begin(), found, found + 1);
  } else {
    const int64_t limit = slice_limit(height, width);
    Blueprint planned = blueprint(height, width, images);
    DeviceTaps taps(*runtime_, planned, packs_);
    if (plans_.size() == kMaxPlans) plans_.pop_back();
    plans_.insert(plans_.begin(),
                  std::make_unique<BoundPlan>(BoundPlan{std::move(planned), std::move(taps), limit, {}}));
  }
  BoundPlan& bound = *plans_.front();
  reserve(Arena::bytes(bound.blueprint));
  const Arena arena(bound.blueprint, arena_.data());
  for (PixelFormat format : {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc}) {
    Program& program = bound.programs[static_cast<size_t>(format)];
    if (program.recording) continue;
    program.launches =
        make_program(*runtime_, bound.blueprint, format, arena, weights_, bound.taps, normalisation_);
    program.recording = runtime_->record([&](Stream stream) {
      for (const Launch& launch : program.launches) launch(stream);
    });
  }
  return bound;
}

void CudaBackend::prepare(int height, int width, int64_t count) {
  const int64_t slice = std::min(count, slice_limit(height, width));
  bound_plan(height, width, slice);
  if (count % slice != 0) bound_plan(height, width, count % slice);
}

int64_t CudaBackend::arena_bytes(int height, int width) {
  return blueprint(height, width, 1).plan.arena_floats * int64_t{sizeof(float)};
}

std::vector<StepInfo> CudaBackend::explain(int height, int width) {
  return cuda::explain(blueprint(height, width, 1), packs_);
}

void CudaBackend::run(const ImageBatch& input, float* output, double* seconds) {
  const int channels = model_->description().input.channels;
  const int64_t outputs = model_->output_shape(input.height, input.width).elements();
  const int64_t slice =
      seconds != nullptr ? 1 : std::min(input.count, slice_limit(input.height, input.width));
  bool finite = true;
  for (int64_t n = 0; n < input.count; n += slice) {
    ImageBatch images = input;
    images.data = static_cast<const uint8_t*>(input.data) + n * image_bytes(input, channels);
    images.count = std::min(slice, input.count - n);
    finite &= run_slice(images, output + n * outputs, seconds);
  }
  if (!finite) check_finite(input, {channels, input.height, input.width});
}

bool CudaBackend::run_slice(const ImageBatch& slice, float* output, double* seconds) {
  const int channels = model_->description().input.channels;
  BoundPlan& bound = bound_plan(slice.height, slice.width, slice.count);
  const Program& program = bound.programs[static_cast<size_t>(slice.format)];
  const Arena arena(bound.blueprint, arena_.data());
  runtime_->upload(arena.images, slice.data, static_cast<size_t>(slice.count * image_bytes(slice, channels)));
  if (seconds == nullptr) {
    program.recording->replay();
  } else {
    run_step_by_step(program.launches, seconds);
  }
  const int64_t outputs = bound.blueprint.plan.steps.back().output_shape.elements();
  runtime_->download(output, arena.output, static_cast<size_t>(slice.count * outputs) * sizeof(float));
  if (slice.format != PixelFormat::kF32Nchw) return true;
  int not_finite = 0;
  runtime_->download(&not_finite, arena.not_finite, sizeof not_finite);
  return not_finite == 0;
}

void CudaBackend::run_step_by_step(const std::vector<Launch>& launches, double* seconds) {
  runtime_->synchronise();
  for (const Launch& launch : launches) {
    const double start = now();
    runtime_->launch(launch);
    runtime_->synchronise();
    *seconds++ += now() - start;
  }
}

std::optional<int> cuda_ordinal(const std::string& device) {
  if (device == "cuda") return 0;
  const std::string prefix = "cuda:", digits = device.substr(std::min(prefix.size(), device.size()));
  constexpr size_t kMaxDigits = 3;
  const bool number = !digits.empty() && digits.size() <= kMaxDigits &&
                      digits.find_first_not_of("0123456789") == std::string::npos;
  if (device.compare(0, prefix.size(), prefix) != 0 || !number) return std::nullopt;
  return std::stoi(digits);
}

}  // namespace squish::cuda
