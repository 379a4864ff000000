#include "support/emulated_runtime.h"

#include <cstdlib>
#include <cstring>

#include "squish/error.h"
#include "support/emulated_kernels.h"
#include "support/random.h"
#include "support/test_runtime.h"

namespace squish::cuda {
namespace {

using Point = emulator::Stream::Point;

Point end_of(Stream stream) {
  return stream == nullptr ? Point() : Point(*static_cast<emulator::Stream*>(stream));
}

}  // namespace

class EmulatedEvent final : public Event {
 public:
  explicit EmulatedEvent(EmulatedRuntime& runtime) : runtime_(runtime) {}
  void record(Stream stream) override {
    runtime_.call("record an event");
    point_ = end_of(stream);
  }
  void hold(Stream stream) override {
    runtime_.call("wait for an event");
    if (stream == nullptr) return point_.reach();
    static_cast<emulator::Stream*>(stream)->hold(point_);
  }
  void synchronise() override {
    runtime_.call("synchronise with an event");
    runtime_.wait_for(point_);
  }

 private:
  EmulatedRuntime& runtime_;
  Point point_;
};

// Work of it that is still to be done when it goes is a defect.
class EmulatedRecording final : public Recording {
 public:
  using Works = std::vector<std::function<void()>>;
  EmulatedRecording(EmulatedRuntime& runtime, Works works)
      : runtime_(runtime), works_(std::make_shared<Works>(std::move(works))) {}
  void replay(Stream stream) override {
    runtime_.call("replay");
    ++runtime_.replays;
    for (size_t i = 0; i < works_->size(); ++i) {
      emulator::run_on(stream, [works = std::weak_ptr<Works>(works_), i] {
        const auto recorded = works.lock();
        if (recorded == nullptr) std::abort();
        (*recorded)[i]();
      });
    }
  }
  // Those that are under way stay as they are.
  void update(size_t number, const std::function<void(Stream)>& work) override {
    runtime_.call("update");
    ++runtime_.updates;
    emulator::Stream capture;
    work(&capture);
    Works launches = capture.take();
    if (launches.size() != 1) std::abort();
    superseded_.push_back(works_);
    works_ = std::make_shared<Works>(*works_);
    works_->at(number) = std::move(launches[0]);
  }

 private:
  EmulatedRuntime& runtime_;
  std::shared_ptr<Works> works_;
  std::vector<std::shared_ptr<Works>> superseded_;  // which replays may still be under way
};

// Who forgets something on the device is a defect; so is who frees it too late.
EmulatedRuntime::~EmulatedRuntime() {
  if (!sizes_.empty()) std::abort();
}

void EmulatedRuntime::call(const char* what) {
  if (calls_left == 0) throw DeviceError(std::string("emulator: cannot ") + what);
  --calls_left;
}

const KernelTable<float>& EmulatedRuntime::kernels() const { return emulated_kernels(); }
const KernelTable<__half>& EmulatedRuntime::half_kernels() const { return emulated_half_kernels(); }
const IntegerKernelTable& EmulatedRuntime::integer_kernels() const { return emulated_integer_kernels(); }

void* EmulatedRuntime::allocate(size_t bytes) {
  call("allocate");
  if (captured != nullptr) throw DeviceError("emulator: asked for memory while a stream is captured");
  if (allocated_ + bytes > limit) throw DeviceError("emulator: out of memory");
  constexpr size_t kAlignment = 256;  // as cudaMalloc's
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes) != 0) throw std::bad_alloc();
  std::memset(memory, 0xFF, bytes);
  sizes_[memory] = bytes;
  allocated_ += bytes;
  ++allocations;
  return memory;
}

void EmulatedRuntime::free(void* memory) noexcept {
  allocated_ -= sizes_.at(memory);
  sizes_.erase(memory);
  std::free(memory);
}

void EmulatedRuntime::free_shared(void* memory) noexcept {
  Point(stream_).reach();
  for (const emulator::Stream* stream : streams) Point(*stream).reach();
  free(memory);
}

std::string EmulatedRuntime::elsewhere(const void* memory) const {
  const auto after = sizes_.upper_bound(memory);
  if (after == sizes_.begin()) return "in host memory";
  const auto& [begin, bytes] = *std::prev(after);
  return memory < static_cast<const uint8_t*>(begin) + bytes ? "" : "in host memory";
}

void EmulatedRuntime::upload(void* to, const void* from, size_t bytes) {
  call("upload");
  stream_.add([=] { std::memcpy(to, from, bytes); });
  wait_for(Point(stream_));
}

void EmulatedRuntime::download(void* to, const void* from, size_t bytes) {
  call("download");
  stream_.add([=] { std::memcpy(to, from, bytes); });
  wait_for(Point(stream_));
}

void EmulatedRuntime::clear(void* at, size_t bytes) {
  call("clear");
  stream_.add([=] { std::memset(at, 0, bytes); });
}

void EmulatedRuntime::synchronise() {
  call("synchronise");
  wait_for(Point(stream_));
}

void EmulatedRuntime::wait_for(const Point& point) {
  ++synchronisations;
  point.reach();
}

void EmulatedRuntime::check_stream(Stream stream) const {
  if (stream != nullptr && stream == captured) throw DeviceError("stream: is being captured");
}

std::unique_ptr<Event> EmulatedRuntime::make_event() {
  call("make an event");
  return std::make_unique<EmulatedEvent>(*this);
}

void EmulatedRuntime::launch(Stream stream, const std::function<void(Stream)>& work) {
  call("launch");
  ++launches;
  work(stream);
}

std::unique_ptr<Recording> EmulatedRuntime::record(const std::function<void(Stream)>& work) {
  call("record");
  ++recordings;
  emulator::Stream capture;
  work(&capture);
  return std::make_unique<EmulatedRecording>(*this, capture.take());
}

double EmulatedRuntime::seconds(Recording& recording, int count) {
  call("time");
  if (clock) return clock() * count;
  recording.replay(&stream_);
  wait_for(Point(stream_));
  return 1e-3 * count;
}

}  // namespace squish::cuda

namespace squish::testing {

bool measuring_is_quick() { return true; }

std::unique_ptr<cuda::Runtime> make_test_runtime() {
  auto runtime = std::make_unique<cuda::EmulatedRuntime>(132);
  // Anything may be fastest.
  runtime->clock = [random = Random(1)]() mutable { return 1e-6 * (1 + random.unit()); };
  return runtime;
}

}  // namespace squish::testing
