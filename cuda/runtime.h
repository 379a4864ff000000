// What the backend asks of a device, and no more, so that tests can put an emulated one in its place. One session's;
// what it does by itself is done in order on a stream of its own. Throws DeviceError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cuda/kernel_table.h"

namespace squish::cuda {

struct DeviceProperties {
  std::string name;  // "NVIDIA H200", and for what its kernels are compiled where that is an older one
  int ordinal = 0;
  int multiprocessors = 1;
  int64_t memory = 0;         // bytes in all, whoever uses them
  bool tensor_cores = false;  // that take what kernels/tensor_cores.h gives them
};

// Launches that were recorded once, to be started together.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay(Stream stream) = 0;
  // In replays to come, puts the launch of the work, which is one of the same kernel, in the place of the one with this number.
  virtual void update(size_t number, const std::function<void(Stream)>& work) = 0;
};

// A point in the work of a stream.
class Event {
 public:
  virtual ~Event() = default;
  virtual void record(Stream stream) = 0;  // the point where its work ends now
  virtual void hold(Stream stream) = 0;    // what comes on this stream waits for the point, if there is one
  virtual void synchronise() = 0;          // the caller waits for it
};

class Runtime {
 public:
  virtual ~Runtime() = default;

  virtual const DeviceProperties& properties() const = 0;
  virtual const KernelTable<float>& kernels() const = 0;
  virtual const KernelTable<__half>& half_kernels() const = 0;
  virtual const IntegerKernelTable& integer_kernels() const = 0;

  // Device memory; not null. Where there is not enough left, everything else stays as it was.
  virtual void* allocate(size_t bytes) = 0;
  virtual void free(void* memory) noexcept = 0;
  // The same for memory that others were given: first waits for all work of the device, whoever's it is. Where it cannot
  // be waited for, the memory is kept for a later try.
  virtual void free_shared(void* memory) noexcept = 0;
  // Where memory lies that kernels cannot read and write: "in host memory", "on cuda:1"; empty where they can.
  virtual std::string elsewhere(const void* memory) const = 0;

  virtual void upload(void* to, const void* from, size_t bytes) = 0;    // `from` may change when it returns
  virtual void download(void* to, const void* from, size_t bytes) = 0;  // waits
  virtual void clear(void* at, size_t bytes) = 0;                       // to zeros
  virtual void synchronise() = 0;
  virtual Stream stream() const = 0;  // its own

  // What follows may be asked for on streams of others.
  // Throws where nothing can be put on it now.
  virtual void check_stream(Stream stream) const = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
  // Starts the work on it.
  virtual void launch(Stream stream, const std::function<void(Stream)>& work) = 0;
  // Keeps the launches of the work, which are this thread's, for later. The memory that they use must outlive the recording.
  virtual std::unique_ptr<Recording> record(const std::function<void(Stream)>& work) = 0;
  // By the device's clock, of so many replays in a row on the runtime's own stream; behind one that is not timed, so that the
  // device never waits for the next. Waits.
  virtual double seconds(Recording& recording, int replays) = 0;
};

// The device with this number, over CUDA's runtime.
std::unique_ptr<Runtime> make_cuda_runtime(int ordinal);

}  // namespace squish::cuda
