#include "cuda/cuda_backend.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "cuda/tune.h"
#include "finite.h"
#include "squish/error.h"

namespace squish::cuda {
namespace {

// Of an image size and batch size each. A recording costs milliseconds to make.
constexpr size_t kMaxPlans = 8;
// Beyond it larger batches gain nothing, and the memory is the caller's to use: of small devices, most of it.
constexpr int64_t kMaxSliceImages = 256, kMaxSliceBytes = int64_t{4} << 30, kMaxSliceShare = 8;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of one image.
int64_t output_floats(const Blueprint& blueprint) {
  return blueprint.plan.steps.back().output_shape.elements();
}

void check_aligned(const void* memory, const char* what) {
  if (reinterpret_cast<uintptr_t>(memory) % alignof(float) == 0) return;
  throw InvalidArgument(std::string(what) + ": float32 values must lie at a multiple of 4 bytes");
}

// What allocate() gives.
class CudaBuffer final : public DeviceBuffer {
 public:
  CudaBuffer(std::shared_ptr<Runtime> runtime, size_t bytes)
      : runtime_(std::move(runtime)), written_(runtime_->make_event()), data_(runtime_->allocate(bytes)) {}
  ~CudaBuffer() override { runtime_->free_shared(data_); }
  CudaBuffer(const CudaBuffer&) = delete;
  CudaBuffer& operator=(const CudaBuffer&) = delete;

  void* data() const override { return data_; }
  void written_on(Stream stream) override { written_->record(stream); }
  void hold(Stream stream) override {
    runtime_->check_stream(stream);  // waiting would break a capture
    written_->hold(stream);
  }

 private:
  std::shared_ptr<Runtime> runtime_;
  std::unique_ptr<Event> written_;
  void* data_;
};

}  // namespace

CudaBackend::CudaBackend(std::shared_ptr<const Model> model, std::shared_ptr<Runtime> runtime,
                         PlanPolicy policy, StorageType storage, bool tensor_cores)
    : model_(std::move(model)),
      runtime_(std::move(runtime)),
      policy_(policy),
      storage_(storage),
      normalisation_(normalisation_of(model_->description().input)),
      packs_(pack_net(model_->graph(), tensor_cores && runtime_->properties().tensor_cores, storage)),
      weights_(*runtime_, packs_, storage),
      not_finite_(*runtime_, sizeof(int)),
      done_(runtime_->make_event()),
      others_(runtime_->make_event()) {
  runtime_->clear(not_finite_.data(), sizeof(int));
  runtime_->synchronise();
}

CudaBackend::~CudaBackend() {
  try {
    done_->synchronise();
  } catch (const DeviceError&) {  // NOLINT(bugprone-empty-catch): a device that is lost uses no memory
  }
}

Blueprint CudaBackend::blueprint(int height, int width, int64_t images) const {
  return make_blueprint(model_->graph(), packs_, height, width, images,
                        runtime_->properties().multiprocessors, policy_);
}

Blueprint CudaBackend::tune(const Blueprint& modelled) {
  const auto arena = [&](size_t bytes) {
    reserve(bytes);
    done_->synchronise();
    runtime_->clear(arena_.data(), bytes);
    runtime_->synchronise();
    return arena_.data();
  };
  try {
    return cuda::tune({*runtime_, model_->graph(), packs_, weights_, normalisation_, arena}, modelled);
  } catch (...) {
    done_->record(runtime_->stream());  // what was started uses the arena
    throw;
  }
}

Blueprint CudaBackend::blueprint_for(int height, int width, int64_t images) {
  if (policy_ != PlanPolicy::kMeasured) return blueprint(height, width, images);
  const auto key = std::make_tuple(height, width, images);
  const auto found = measured_.find(key);
  if (found != measured_.end()) return found->second;
  return measured_.emplace(key, tune(blueprint(height, width, images))).first->second;
}

int64_t CudaBackend::slice_limit(int height, int width) const {
  for (const auto& bound : plans_) {
    const Plan& plan = bound->blueprint.plan;
    if (plan.height == height && plan.width == width) return bound->slice_limit;
  }
  auto bytes = static_cast<int64_t>(Arena::bytes(blueprint(height, width, 1)));
  if (policy_ == PlanPolicy::kMeasured) {  // they are tried
    for (PlanPolicy policy : {PlanPolicy::kWhole, PlanPolicy::kApart}) {
      const Blueprint tried = make_blueprint(model_->graph(), packs_, height, width, 1,
                                             runtime_->properties().multiprocessors, policy);
      bytes = std::max(bytes, static_cast<int64_t>(Arena::bytes(tried)));
    }
  }
  const int64_t most = std::min(kMaxSliceBytes, runtime_->properties().memory / kMaxSliceShare);
  return std::clamp<int64_t>(most / bytes, 1, kMaxSliceImages);
}

void CudaBackend::reserve(size_t bytes) {
  if (arena_.bytes() >= bytes) return;
  // The old one first: both may not fit. Should even the new one alone not fit, the next run makes one of its size.
  done_->synchronise();
  for (auto& plan : plans_) plan->unbind();
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
    Blueprint planned = blueprint_for(height, width, images);
    DeviceTaps taps(*runtime_, planned, packs_);
    if (plans_.size() == kMaxPlans) {
      done_->synchronise();  // the run may be one of the plan that goes
      plans_.pop_back();
    }
    plans_.insert(plans_.begin(),
                  std::make_unique<BoundPlan>(BoundPlan{std::move(planned), std::move(taps), limit, {}, {}}));
  }
  BoundPlan& bound = *plans_.front();
  reserve(Arena::bytes(bound.blueprint));
  if (!bound.program) bind(bound);
  return bound;
}

void CudaBackend::BoundPlan::unbind() {
  recorded = {};
  program.reset();
}

void CudaBackend::bind(BoundPlan& bound) {
  const Arena arena(bound.blueprint, arena_.data());
  Program program(*runtime_, bound.blueprint, arena, weights_, bound.taps, normalisation_);
  std::array<Recorded, 2> recorded;
  for (const PixelFormat format : {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc}) {
    const Ends ends{format, arena.images, arena.output, arena.not_finite};
    auto recording = runtime_->record([&](Stream stream) {
      for (size_t step = 0; step < program.steps(); ++step) program.launch(step, ends, stream);
    });
    recorded[format == PixelFormat::kF32Nchw ? 0 : 1] = {std::move(recording), ends};
  }
  bound.recorded = std::move(recorded);
  bound.program = std::make_unique<Program>(program);
}

Recording& CudaBackend::turn_to(BoundPlan& bound, const Ends& ends) {
  Recorded& recorded = bound.of(ends.format);
  if (ends == recorded.ends) return *recorded.recording;
  recorded.ends = {};  // nobody's, should an update fail
  for (size_t step = 0; step < bound.program->steps(); ++step) {
    if (!bound.program->touches_ends(step)) continue;
    const auto work = [&](Stream stream) { bound.program->launch(step, ends, stream); };
    recorded.recording->update(step, std::ref(work));  // a function that holds a reference takes no memory
  }
  recorded.ends = ends;
  return *recorded.recording;
}

void CudaBackend::prepare(int height, int width, int64_t count) {
  const int64_t slice = std::min(count, slice_limit(height, width));
  bound_plan(height, width, slice);
  if (count % slice != 0) bound_plan(height, width, count % slice);
}

MemoryUse CudaBackend::memory(int height, int width) {
  const Blueprint of_one = blueprint_for(height, width, 1);
  MemoryUse use;
  use.weights = static_cast<int64_t>(weights_.bytes());
  use.activations = of_one.plan.arena_floats * value_bytes(storage_);
  use.scratch = static_cast<int64_t>(Arena::bytes(of_one)) - use.activations;
  return use;
}

std::vector<StepInfo> CudaBackend::explain(int height, int width) {
  std::vector<StepInfo> steps = cuda::explain(blueprint_for(height, width, 1), packs_);
  steps.front().why += "; " + runtime_->properties().name;
  return steps;
}

void CudaBackend::run(const ImageBatch& input, float* output, double* seconds) {
  const int channels = model_->description().input.channels;
  const int64_t slice =
      seconds != nullptr ? 1 : std::min(input.count, slice_limit(input.height, input.width));
  bool finite = true;
  each_slice(input, output, slice, [&](BoundPlan& bound, const ImageBatch& images, float* result) {
    finite &= run_slice(bound, images, result, seconds);
  });
  if (!finite) check_finite(input, {channels, input.height, input.width});
}

template <typename Function>
void CudaBackend::each_slice(const ImageBatch& input, float* output, int64_t slice,
                             const Function& function) {
  const int channels = model_->description().input.channels;
  for (int64_t n = 0; n < input.count; n += slice) {
    ImageBatch images = input;
    images.data = static_cast<const uint8_t*>(input.data) + n * image_bytes(input, channels);
    images.count = std::min(slice, input.count - n);
    BoundPlan& bound = bound_plan(images.height, images.width, images.count);
    function(bound, images, output);
    output += images.count * output_floats(bound.blueprint);
  }
}

bool CudaBackend::run_slice(BoundPlan& bound, const ImageBatch& slice, float* output, double* seconds) {
  const int channels = model_->description().input.channels;
  const Arena arena(bound.blueprint, arena_.data());
  const Ends ends{slice.format, arena.images, arena.output, arena.not_finite};
  done_->hold(runtime_->stream());  // another plan's activations may lie where these images go
  runtime_->upload(arena.images, slice.data, static_cast<size_t>(slice.count * image_bytes(slice, channels)));
  runtime_->clear(arena.not_finite, sizeof(int));
  if (seconds == nullptr) {
    start(bound, ends, runtime_->stream());
  } else {
    run_step_by_step(*bound.program, ends, seconds);
  }
  runtime_->download(output, arena.output,
                     static_cast<size_t>(slice.count * output_floats(bound.blueprint)) * sizeof(float));
  if (slice.format != PixelFormat::kF32Nchw) return true;
  int not_finite = 0;
  runtime_->download(&not_finite, arena.not_finite, sizeof not_finite);
  return not_finite == 0;
}

void CudaBackend::run_step_by_step(const Program& program, const Ends& ends, double* seconds) {
  runtime_->synchronise();
  for (size_t step = 0; step < program.steps(); ++step) {
    const double start = now();
    launch(program, step, ends, runtime_->stream());
    runtime_->synchronise();
    *seconds++ += now() - start;
  }
}

void CudaBackend::launch(const Program& program, size_t step, const Ends& ends, Stream stream) {
  const auto work = [&](Stream s) { program.launch(step, ends, s); };
  runtime_->launch(stream, std::ref(work));  // a function that holds a reference takes no memory
}

void CudaBackend::start(BoundPlan& bound, const Ends& ends, Stream stream) {
  Recording& recording = turn_to(bound, ends);
  done_->hold(stream);
  try {
    recording.replay(stream);
  } catch (...) {
    done_->record(stream);  // what was started uses the arena
    throw;
  }
  done_->record(stream);
}

void CudaBackend::check_reaches(const void* memory, const char* what) const {
  const std::string place = runtime_->elsewhere(memory);
  if (place.empty()) return;
  throw InvalidArgument(std::string(what) + ": lies " + place +
                        ", wanted memory of cuda:" + std::to_string(runtime_->properties().ordinal));
}

void CudaBackend::enqueue(const ImageBatch& input, float* output, Stream stream) {
  check_stream(stream);
  check_reaches(input.data, "batch");
  check_reaches(output, "out");
  if (input.format == PixelFormat::kF32Nchw) check_aligned(input.data, "batch");
  check_aligned(output, "out");
  prepare(input.height, input.width, input.count);  // all of it, before anything is put on the stream
  auto* const not_finite = reinterpret_cast<int*>(not_finite_.data());
  each_slice(input, output, std::min(input.count, slice_limit(input.height, input.width)),
             [&](BoundPlan& bound, const ImageBatch& images, float* result) {
               start(bound, {images.format, images.data, result, not_finite}, stream);
             });
}

void CudaBackend::synchronise() {
  done_->synchronise();
  int not_finite = 0;
  runtime_->download(&not_finite, not_finite_.data(), sizeof not_finite);
  if (not_finite == 0) return;
  runtime_->clear(not_finite_.data(), sizeof(int));
  runtime_->synchronise();
  throw InvalidArgument("batch: a value of one that was enqueued is not finite, every value must be");
}

void CudaBackend::order(Stream stream, Stream earlier) {
  others_->record(earlier);
  others_->hold(stream);
}

std::unique_ptr<DeviceBuffer> CudaBackend::allocate(size_t bytes) {
  return std::make_unique<CudaBuffer>(runtime_, bytes);
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
