// What the backend asks of a device, and no more, so that tests can put an emulated one in its place. One session's;
// everything is ordered as it was asked for. Throws DeviceError.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "cuda/kernel_table.h"

namespace squish::cuda {

struct DeviceProperties {
  std::string name;  // "NVIDIA H200"
  int multiprocessors = 1;
};

// Launches that were recorded once, to be started together.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

class Runtime {
 public:
  virtual ~Runtime() = default;

  virtual const DeviceProperties& properties() const = 0;
  virtual const KernelTable<float>& kernels() const = 0;

  // Device memory; not null. Where there is not enough left, everything else stays as it was.
  virtual void* allocate(size_t bytes) = 0;
  virtual void free(void* memory) noexcept = 0;

  virtual void upload(void* to, const void* from, size_t bytes) = 0;    // `from` may change when it returns
  virtual void download(void* to, const void* from, size_t bytes) = 0;  // waits
  virtual void clear(void* at, size_t bytes) = 0;                       // to zeros
  virtual void synchronise() = 0;

  // Starts the work at once.
  virtual void launch(const std::function<void(Stream)>& work) = 0;
  // Keeps the launches and clear()s of the work for later. The memory that they use must outlive the recording.
  virtual std::unique_ptr<Recording> record(const std::function<void(Stream)>& work) = 0;
};

// The device with this number, over CUDA's runtime.
std::unique_ptr<Runtime> make_cuda_runtime(int ordinal);

}  // namespace squish::cuda
