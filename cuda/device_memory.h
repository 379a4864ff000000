// Device memory that somebody owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cuda/runtime.h"

namespace squish::cuda {

class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(Runtime& runtime, size_t bytes)
      : runtime_(&runtime), data_(static_cast<uint8_t*>(runtime.allocate(bytes))), bytes_(bytes) {}
  ~DeviceMemory() { reset(); }
  DeviceMemory(DeviceMemory&& o) noexcept { *this = std::move(o); }
  DeviceMemory& operator=(DeviceMemory&& o) noexcept {
    std::swap(runtime_, o.runtime_);
    std::swap(data_, o.data_);
    std::swap(bytes_, o.bytes_);
    return *this;
  }

  void reset() {
    if (data_ != nullptr) runtime_->free(data_);
    data_ = nullptr;
    bytes_ = 0;
  }
  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Runtime* runtime_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

// Arrays collected on the host, to go to the device in one allocation and one copy.
class Parcel {
 public:
  static constexpr size_t kAlignment = 256;  // as of an allocation of its own

  // The offset of the array in bytes.
  template <typename T>
  size_t add(const std::vector<T>& array) {
    const size_t at = (bytes_.size() + kAlignment - 1) / kAlignment * kAlignment;
    bytes_.resize(at + array.size() * sizeof(T));
    if (!array.empty()) std::memcpy(bytes_.data() + at, array.data(), array.size() * sizeof(T));
    return at;
  }

  DeviceMemory send(Runtime& runtime) const {
    if (bytes_.empty()) return {};
    DeviceMemory memory(runtime, bytes_.size());
    runtime.upload(memory.data(), bytes_.data(), bytes_.size());
    return memory;
  }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace squish::cuda
