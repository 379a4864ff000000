#include "support/emulated_runtime.h"

#include <cstdlib>
#include <cstring>

#include "squish/error.h"
#include "support/emulated_kernels.h"

namespace squish::cuda {
namespace {

class EmulatedRecording final : public Recording {
 public:
  EmulatedRecording(const std::function<void(Stream)>& work, int* replays) : work_(work), replays_(replays) {}
  void replay() override {
    ++*replays_;
    work_(nullptr);
  }

 private:
  std::function<void(Stream)> work_;
  int* replays_;
};

}  // namespace

// Who forgets something on the device is a defect; so is who frees it too late.
EmulatedRuntime::~EmulatedRuntime() {
  if (!sizes_.empty()) std::abort();
}

const KernelTable<float>& EmulatedRuntime::kernels() const { return emulated_kernels(); }

void* EmulatedRuntime::allocate(size_t bytes) {
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

void EmulatedRuntime::upload(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void EmulatedRuntime::download(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void EmulatedRuntime::clear(void* at, size_t bytes) { std::memset(at, 0, bytes); }

std::unique_ptr<Recording> EmulatedRuntime::record(const std::function<void(Stream)>& work) {
  ++recordings;
  return std::make_unique<EmulatedRecording>(work, &replays);
}

}  // namespace squish::cuda
