// A device whose memory is the host's and whose kernels run on the emulator. Streams are emulator::Streams, or null, on
// which everything has happened when a call returns.
#pragma once

#include <limits>
#include <map>

#include "cuda/runtime.h"
#include "emulator/stream.h"

namespace squish::cuda {

class EmulatedRuntime : public Runtime {
 public:
  explicit EmulatedRuntime(int multiprocessors = 4, int64_t memory = int64_t{64} << 30,
                           bool tensor_cores = true)
      : properties_{"emulator", 0, multiprocessors, memory, tensor_cores} {}
  ~EmulatedRuntime() override;

  const DeviceProperties& properties() const override { return properties_; }
  const KernelTable<float>& kernels() const override;
  const KernelTable<__half>& half_kernels() const override;
  const IntegerKernelTable& integer_kernels() const override;

  // All bits set: floats that nobody wrote are NaN.
  void* allocate(size_t bytes) override;
  void free(void* memory) noexcept override;
  void free_shared(void* memory) noexcept override;
  std::string elsewhere(const void* memory) const override;
  void upload(void* to, const void* from, size_t bytes) override;
  void download(void* to, const void* from, size_t bytes) override;
  void clear(void* at, size_t bytes) override;
  void synchronise() override;
  Stream stream() const override { return &stream_; }
  void check_stream(Stream stream) const override;
  std::unique_ptr<Event> make_event() override;
  void launch(Stream stream, const std::function<void(Stream)>& work) override;
  std::unique_ptr<Recording> record(const std::function<void(Stream)>& work) override;
  double seconds(Recording& recording, int replays) override;

  // What tests look at and set.
  size_t limit = std::numeric_limits<size_t>::max();  // of memory
  size_t allocated() const { return allocated_; }
  int allocations = 0, recordings = 0, replays = 0, updates = 0, launches = 0;
  int synchronisations = 0;                          // calls that waited for a stream or an event
  int calls_left = std::numeric_limits<int>::max();  // that succeed; the one after them fails
  const void* captured = nullptr;                    // a stream that somebody captures; no memory meanwhile
  std::vector<emulator::Stream*> streams;            // that free_shared() finishes
  // What a replay is said to take, which is then left out; without it one is made, and is said to take 1 ms.
  std::function<double()> clock;

 private:
  friend class EmulatedEvent;
  friend class EmulatedRecording;
  void call(const char* what);
  void wait_for(const emulator::Stream::Point& point);

  DeviceProperties properties_;
  std::map<const void*, size_t> sizes_;
  size_t allocated_ = 0;
  mutable emulator::Stream stream_;
};

}  // namespace squish::cuda
