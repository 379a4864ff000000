// Arrays in the memory of a CUDA device: what callers hand in, by DLPack or __cuda_array_interface__, and get back.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/typing.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "bindings/batch.h"

namespace squish::bindings {

// A cudaStream_t as a number; 0 is the legacy default stream.
using StreamHandle = uintptr_t;

// Addresses come from Python as numbers.
template <typename T = void>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);  // NOLINT(performance-no-int-to-ptr)
}

// A caller's array.
struct DeviceView {
  ArrayView array;
  std::optional<int> device;  // of "cuda:n", where the array says it
  std::optional<StreamHandle>
      written_on;  // what its content must be waited for on; DLPack's has been already
  pybind11::object owner;
};

// `stream`: where the array will be used; DLPack's producers make it wait for what is under way.
// Throws py::type_error on what is no array of a device, InvalidArgument on one that lies elsewhere.
DeviceView device_view(pybind11::handle array, const char* what, StreamHandle stream);

// float32, in C's order.
class DeviceArray {
 public:
  DeviceArray(std::shared_ptr<DeviceBuffer> buffer, Sizes sizes, int device)
      : buffer_(std::move(buffer)), sizes_(std::move(sizes)), device_(device) {}
  ~DeviceArray();
  DeviceArray(DeviceArray&&) = default;

  float* data() const { return static_cast<float*>(buffer_->data()); }
  pybind11::typing::Tuple<pybind11::int_, pybind11::ellipsis> shape() const;
  int device() const { return device_; }
  // Called when work on the stream that fills it is under way.
  void written_on(StreamHandle stream);

  // Makes the legacy stream wait.
  pybind11::typing::Dict<pybind11::str, pybind11::object> cuda_array_interface() const;
  // Makes the consumer's stream wait. Throws as DLPack's specification says: BufferError.
  pybind11::object dlpack(std::optional<int64_t> stream, std::optional<pybind11::tuple> device,
                          std::optional<bool> copy) const;

 private:
  std::shared_ptr<DeviceBuffer> buffer_;
  Sizes sizes_;
  int device_;
};

}  // namespace squish::bindings
