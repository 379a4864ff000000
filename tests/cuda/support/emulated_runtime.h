// A device whose memory is the host's and whose kernels run on the emulator.
#pragma once

#include <limits>
#include <map>

#include "cuda/runtime.h"

namespace squish::cuda {

class EmulatedRuntime final : public Runtime {
 public:
  explicit EmulatedRuntime(int multiprocessors = 4) : properties_{"emulator", multiprocessors} {}
  ~EmulatedRuntime() override;

  const DeviceProperties& properties() const override { return properties_; }
  const KernelTable<float>& kernels() const override;

  // All bits set: floats that nobody wrote are NaN.
  void* allocate(size_t bytes) override;
  void free(void* memory) noexcept override;
  void upload(void* to, const void* from, size_t bytes) override;
  void download(void* to, const void* from, size_t bytes) override;
  void clear(void* at, size_t bytes) override;
  void synchronise() override {}
  void launch(const std::function<void(Stream)>& work) override { work(nullptr); }
  std::unique_ptr<Recording> record(const std::function<void(Stream)>& work) override;

  // What tests look at and set.
  size_t limit = std::numeric_limits<size_t>::max();  // of memory
  size_t allocated() const { return allocated_; }
  int allocations = 0, recordings = 0, replays = 0;

 private:
  DeviceProperties properties_;
  std::map<void*, size_t> sizes_;
  size_t allocated_ = 0;
};

}  // namespace squish::cuda
