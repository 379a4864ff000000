#include "squish/session.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "backend.h"
#include "cpu/forecast.h"
#include "float_environment.h"
#include "memory_size.h"
#include "squish/error.h"

namespace squish {
namespace {

#ifdef SQUISH_CUDA
constexpr const char* kDevices = "'cpu', 'reference' and 'cuda'";
#else
constexpr const char* kDevices = "'cpu' and 'reference'";
#endif

// It runs plain loops on the calling thread.
void check_reference_options(const SessionOptions& options) {
  if (options.threads != 1) {
    throw InvalidArgument("threads: got " + std::to_string(options.threads) +
                          ", device 'reference' computes on 1");
  }
  if (!options.isa.empty()) {
    throw InvalidArgument("isa: got '" + options.isa + "', device 'reference' has no instruction sets");
  }
}

bool is_cuda(const SessionOptions& options) { return options.device.compare(0, 4, "cuda") == 0; }

void check_device(const SessionOptions& options) {
#ifdef SQUISH_CUDA
  if (is_cuda(options)) return;  // its backend reads what follows
#endif
  if (options.device == "cpu" || options.device == "reference") return;
  throw DeviceError("device: got '" + options.device + "', this build has " + kDevices);
}

// What "auto" means for this net on this device; what was asked for, checked.
std::string storage_of(const Model& model, const SessionOptions& options) {
  const std::string& storage = options.storage;
  if (storage == "f32" || (storage == "auto" && is_cuda(options))) return "f32";
  if (storage != "auto" && storage != "f16" && storage != "i8")
    throw InvalidArgument("storage: got '" + storage + "', wanted 'auto', 'f32', 'f16' or 'i8'");
  if (storage == "f16" && is_cuda(options)) return storage;
  if (storage == "f16")
    throw InvalidArgument("storage: got 'f16', device '" + options.device + "' has 'f32' and 'i8'");
  const std::string why_not = model.why_not_in_integers();
  if (storage == "i8" && !why_not.empty())
    throw InvalidArgument("storage: got 'i8', the file is not made for integer arithmetic: " + why_not);
  if (storage == "i8") return storage;
  const bool integers =
      why_not.empty() && (options.device == "reference" || integers_are_faster(model.graph(), options));
  return integers ? "i8" : "f32";
}

std::unique_ptr<Backend> make_backend(const std::shared_ptr<const Model>& model,
                                      const SessionOptions& options) {
  if (options.threads < 1) {
    throw InvalidArgument("threads: got " + std::to_string(options.threads) + ", must be at least 1");
  }
  if (options.tune && !is_cuda(options))
    throw InvalidArgument("tune: device '" + options.device + "' is not tuned, wanted a CUDA device");
  if (options.device == "cpu") return make_cpu_backend(model, options);
#ifdef SQUISH_CUDA
  if (is_cuda(options)) return make_cuda_backend(model, options);
#endif
  check_reference_options(options);  // check_device() let no other device pass
  return make_reference_backend(model, options);
}

void check_count(int64_t count) {
  if (count < 1) throw InvalidArgument("batch: got " + std::to_string(count) + " images, must be at least 1");
}

void check_batch(const ImageBatch& input) {
  check_count(input.count);
  if (input.data == nullptr) throw InvalidArgument("batch: input is null");
}

void check_batch(const ImageBatch& input, const float* output) {
  check_batch(input);
  if (output == nullptr) throw InvalidArgument("batch: output is null");
}

}  // namespace

struct Session::Impl {
  std::shared_ptr<const Model> model;
  SessionOptions options;
  std::unique_ptr<Backend> backend;
  std::string isa;  // the backend's: isa() hands out a reference

  void check_has_streams(const char* call) const {
    if (backend->device_number()) return;
    throw DeviceError(std::string(call) + ": device '" + options.device +
                      "' computes in the host's memory and has no streams: use run()");
  }
};

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& asked) {
  if (!model) throw InvalidArgument("model: got none");
  const DefaultFloatEnvironment environment;  // of packed weights and of the threads started here
  SessionOptions options = asked;
  check_device(asked);
  options.storage = storage_of(*model, asked);
  auto backend = make_backend(model, options);
  std::string isa = backend->isa();
  impl_ =
      std::make_unique<Impl>(Impl{std::move(model), std::move(options), std::move(backend), std::move(isa)});
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

void Session::run(const ImageBatch& input, float* output) {
  check_batch(input, output);
  const DefaultFloatEnvironment environment;
  impl_->backend->prepare(input.height, input.width, input.count);
  impl_->backend->run(input, output, nullptr);
}

void Session::prepare(int height, int width, int64_t count) {
  check_count(count);
  const DefaultFloatEnvironment environment;
  impl_->backend->prepare(height, width, count);
}

std::optional<int> Session::device_number() const { return impl_->backend->device_number(); }

void Session::enqueue(const ImageBatch& input, float* output, void* stream) {
  impl_->check_has_streams("enqueue");
  check_batch(input, output);
  const DefaultFloatEnvironment environment;
  impl_->backend->enqueue(input, output, stream);
}

void Session::check_stream(void* stream) const {
  impl_->check_has_streams("check_stream");
  impl_->backend->check_stream(stream);
}

void Session::synchronise() {
  impl_->check_has_streams("synchronise");
  impl_->backend->synchronise();
}

std::unique_ptr<DeviceBuffer> Session::allocate(size_t bytes) {
  impl_->check_has_streams("allocate");
  if (bytes == 0) throw InvalidArgument("allocate: got 0 bytes, wanted at least 1");
  return impl_->backend->allocate(bytes);
}

void Session::order(void* stream, void* earlier) {
  impl_->check_has_streams("order");
  impl_->backend->order(stream, earlier);
}

const Model& Session::model() const { return *impl_->model; }
const SessionOptions& Session::options() const { return impl_->options; }
const std::string& Session::isa() const { return impl_->isa; }

std::vector<StepInfo> Session::explain(int height, int width) {
  return impl_->backend->explain(height, width);
}

std::vector<StepInfo> Session::profile(const ImageBatch& input, int iterations) {
  if (iterations < 1) {
    throw InvalidArgument("iterations: got " + std::to_string(iterations) + ", must be at least 1");
  }
  check_batch(input);
  const DefaultFloatEnvironment environment;
  std::vector<StepInfo> steps = explain(input.height, input.width);
  const Shape out = impl_->model->output_shape(input.height, input.width);
  std::vector<float> output(memory_size<float>(input.count * out.elements()));
  for (StepInfo& step : steps) step.seconds = std::numeric_limits<double>::infinity();
  std::vector<double> seconds(steps.size());
  for (int i = 0; i < iterations; ++i) {
    std::fill(seconds.begin(), seconds.end(), 0.0);
    impl_->backend->run(input, output.data(), seconds.data());
    for (size_t s = 0; s < steps.size(); ++s) {
      steps[s].seconds = std::min(steps[s].seconds, seconds[s] / static_cast<double>(input.count));
    }
  }
  return steps;
}

MemoryUse Session::memory(int height, int width) {
  MemoryUse use = impl_->backend->memory(height, width);
  use.model = static_cast<int64_t>(impl_->model->memory_bytes());
  return use;
}

const char* version() { return SQUISH_VERSION; }

}  // namespace squish
