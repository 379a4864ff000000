#include "bindings/device_array.h"

#include <pybind11/stl.h>

#include <string>
#include <utility>

#include "bindings/dlpack.h"
#include "bindings/released_gil.h"
#include "squish/error.h"

namespace py = pybind11;

namespace squish::bindings {
namespace {

constexpr size_t kMaxRank = 32;

std::string cuda_name(int device) { return "cuda:" + std::to_string(device); }

// Elements; throws where they do not fit an address.
size_t elements(const Sizes& sizes, const char* what) {
  size_t count = 1;
  for (const py::ssize_t size : sizes) {
    if (size < 0 || __builtin_mul_overflow(count, static_cast<size_t>(size), &count)) {
      throw InvalidArgument(std::string(what) + ": its sizes are none");
    }
  }
  return count;
}

// strides: in elements.
bool in_c_order(const Sizes& sizes, const Sizes& strides) {
  py::ssize_t wanted = 1;
  for (size_t axis = sizes.size(); axis-- > 0;) {
    if (sizes[axis] != 1 && strides[axis] != wanted) return false;
    wanted *= sizes[axis];
  }
  return true;
}

bool aligned(const void* data, size_t bytes) { return reinterpret_cast<uintptr_t>(data) % bytes == 0; }

// "float32", as NumPy would say.
std::string dtype_name(const dlpack::DataType& type) {
  std::string name = "type " + std::to_string(type.code) + ", " + std::to_string(type.bits) + " bits";
  switch (type.code) {
    case dlpack::kInt:
      name = "int" + std::to_string(type.bits);
      break;
    case dlpack::kUInt:
      name = "uint" + std::to_string(type.bits);
      break;
    case dlpack::kFloat:
      name = "float" + std::to_string(type.bits);
      break;
    case dlpack::kBfloat:
      name = "bfloat" + std::to_string(type.bits);
      break;
    case dlpack::kBool:
      name = "bool";
      break;
    default:
      break;
  }
  return type.lanes == 1 ? name : name + " x " + std::to_string(type.lanes);
}

void release(dlpack::ManagedTensor* managed) {
  if (managed->deleter != nullptr) managed->deleter(managed);
}

// Takes the tensor out of the capsule; the object that comes back gives it back to its producer.
std::pair<dlpack::ManagedTensor*, py::object> take(const py::object& capsule, const char* what) {
  void* const found = PyCapsule_GetPointer(capsule.ptr(), dlpack::kCapsule);
  if (found == nullptr) {
    PyErr_Clear();
    throw py::type_error(std::string(what) + ": its __dlpack__ gave no capsule '" + dlpack::kCapsule + "'");
  }
  auto* const managed = static_cast<dlpack::ManagedTensor*>(found);
  PyCapsule_SetName(capsule.ptr(), dlpack::kUsedCapsule);
  return {managed, py::capsule(managed, [](void* p) { release(static_cast<dlpack::ManagedTensor*>(p)); })};
}

// Before the array is handed out: producers of host memory want no stream.
void check_on_cuda(py::handle array, const char* what) {
  const auto type = array.attr("__dlpack_device__")().cast<std::pair<int32_t, int32_t>>().first;
  if (type == dlpack::kCuda || type == dlpack::kCudaManaged) return;
  const bool host = type == dlpack::kCpu || type == dlpack::kCudaHost;
  throw InvalidArgument(std::string(what) + ": lies " +
                        (host ? "in host memory" : "on DLPack's device type " + std::to_string(type)) +
                        ", wanted memory of a CUDA device");
}

DeviceView view_of_dlpack(py::handle array, const char* what, StreamHandle stream) {
  check_on_cuda(array, what);
  const auto number = stream == 0 ? dlpack::kLegacyStream : static_cast<int64_t>(stream);
  py::object capsule;
  try {
    capsule = array.attr("__dlpack__")(py::arg("stream") = number);
  } catch (py::error_already_set& error) {  // torch: a tensor that requires grad, a view with a pending sign
    if (!error.matches(PyExc_BufferError) && !error.matches(PyExc_RuntimeError)) throw;
    throw py::type_error(std::string(what) + ": " + std::string(py::str(error.value())));
  }
  auto [managed, owner] = take(capsule, what);
  const dlpack::Tensor& tensor = managed->tensor;
  if (tensor.rank < 0 || tensor.rank > static_cast<int32_t>(kMaxRank))
    throw InvalidArgument(std::string(what) + ": its rank is " + std::to_string(tensor.rank));
  const Sizes sizes(tensor.sizes, tensor.sizes + tensor.rank);
  const size_t item = (size_t{tensor.dtype.bits} * tensor.dtype.lanes + 7) / 8;
  const void* const data = static_cast<const char*>(tensor.data) + tensor.byte_offset;
  const bool ordered =
      tensor.strides == nullptr || in_c_order(sizes, Sizes(tensor.strides, tensor.strides + tensor.rank));
  DeviceView view;
  view.array = {data,
                dtype_name(tensor.dtype),
                sizes,
                elements(sizes, what) * item,
                ordered && (item == 0 || aligned(data, item)),
                true};
  if (tensor.device.type == dlpack::kCuda) view.device = tensor.device.number;
  view.owner = std::move(owner);
  return view;
}

template <typename T>
T item_of(const py::dict& interface, const char* key, const char* what) {
  py::detail::make_caster<T> item;
  if (interface.contains(key) && item.load(interface[key], true)) return py::detail::cast_op<T>(item);
  throw py::type_error(std::string(what) + ": its __cuda_array_interface__ has no valid '" + key + "'");
}

DeviceView view_of_interface(py::handle array, const char* what) {
  const py::object offered = array.attr("__cuda_array_interface__");
  if (!py::isinstance<py::dict>(offered))
    throw py::type_error(std::string(what) + ": its __cuda_array_interface__ is no dict");
  const auto interface = py::reinterpret_borrow<py::dict>(offered);
  const auto sizes = item_of<Sizes>(interface, "shape", what);
  const auto [address, read_only] = item_of<std::pair<uintptr_t, bool>>(interface, "data", what);
  const py::dtype dtype(item_of<std::string>(interface, "typestr", what));
  if (interface.contains("mask") && !interface["mask"].is_none())
    throw py::type_error(std::string(what) + ": has a mask");
  const auto item = static_cast<size_t>(dtype.itemsize());
  bool ordered = true;
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    auto strides = item_of<Sizes>(interface, "strides", what);  // bytes
    ordered = strides.size() == sizes.size();
    for (py::ssize_t& stride : strides) {
      ordered = ordered && stride % static_cast<py::ssize_t>(item) == 0;
      stride /= static_cast<py::ssize_t>(item);
    }
    ordered = ordered && in_c_order(sizes, strides);
  }
  const void* const data = pointer<const void>(address);
  DeviceView view;
  view.array = {
      data, py::str(dtype), sizes, elements(sizes, what) * item, ordered && aligned(data, item), !read_only};
  if (interface.contains("stream") && !interface["stream"].is_none()) {
    const auto stream = item_of<StreamHandle>(interface, "stream", what);
    view.written_on = stream == dlpack::kLegacyStream ? 0 : stream;
  }
  view.owner = py::reinterpret_borrow<py::object>(array);
  return view;
}

// What a consumer holds: the array's memory and its sizes.
struct Export {
  dlpack::ManagedTensor managed;
  std::shared_ptr<DeviceBuffer> buffer;
  std::vector<int64_t> sizes;
};

// Consumers call it on any thread, with the GIL or without.
void delete_export(dlpack::ManagedTensor* managed) {
  std::optional<ReleasedGil> released;
  if (Py_IsInitialized() != 0 && PyGILState_Check() != 0) released.emplace();
  delete static_cast<Export*>(managed->owner);
}

void delete_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, dlpack::kCapsule) == 0) return;  // somebody took the tensor
  release(static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(capsule, dlpack::kCapsule)));
}

[[noreturn]] void throw_buffer_error(const std::string& message) {
  PyErr_SetString(PyExc_BufferError, message.c_str());
  throw py::error_already_set();
}

}  // namespace

DeviceView device_view(py::handle array, const char* what, StreamHandle stream) {
  // DLPack's order of streams is the stricter one, and a torch tensor has both.
  if (py::hasattr(array, "__dlpack__")) return view_of_dlpack(array, what, stream);
  if (py::hasattr(array, "__cuda_array_interface__")) return view_of_interface(array, what);
  throw py::type_error(std::string(what) + ": got " +
                       std::string(py::str(py::type::of(array).attr("__name__"))) +
                       ", wanted an array of a CUDA device: __dlpack__ or __cuda_array_interface__");
}

DeviceArray::~DeviceArray() {
  if (buffer_ == nullptr) return;  // moved away
  const ReleasedGil released;      // the last to hold it waits for all work of the device
  buffer_.reset();
}

py::typing::Tuple<py::int_, py::ellipsis> DeviceArray::shape() const {
  py::typing::Tuple<py::int_, py::ellipsis> shape(sizes_.size());
  for (size_t axis = 0; axis < sizes_.size(); ++axis) shape[axis] = sizes_[axis];
  return shape;
}

void DeviceArray::written_on(StreamHandle stream) { buffer_->written_on(pointer(stream)); }

py::typing::Dict<py::str, py::object> DeviceArray::cuda_array_interface() const {
  // Consumers wait for the stream that is named. The one that wrote may be gone by then; the legacy stream never is.
  buffer_->hold(pointer(0));
  py::typing::Dict<py::str, py::object> interface;
  interface["shape"] = shape();
  interface["typestr"] = "<f4";
  interface["data"] = py::make_tuple(reinterpret_cast<uintptr_t>(data()), false);
  interface["strides"] = py::none();
  interface["version"] = 3;
  interface["stream"] = static_cast<StreamHandle>(dlpack::kLegacyStream);
  return interface;
}

py::object DeviceArray::dlpack(std::optional<int64_t> stream, std::optional<py::tuple> device,
                               std::optional<bool> copy) const {
  if (copy && *copy) throw_buffer_error("this array is handed out as it is, not copied");
  if (device && !device->equal(py::make_tuple(static_cast<int>(dlpack::kCuda), device_)))
    throw_buffer_error("this array lies on " + cuda_name(device_) + ", and is handed out where it is");
  if (stream && (*stream == 0 || *stream < dlpack::kNoStream))
    throw_buffer_error("stream: got " + std::to_string(*stream) + ", which DLPack gives no meaning on CUDA");
  const int64_t number = stream.value_or(dlpack::kLegacyStream);
  if (number != dlpack::kNoStream) {
    buffer_->hold(pointer(number == dlpack::kLegacyStream ? 0 : static_cast<StreamHandle>(number)));
  }
  auto made = std::make_unique<Export>();
  made->buffer = buffer_;
  made->sizes.assign(sizes_.begin(), sizes_.end());
  made->managed.tensor = {data(),
                          {dlpack::kCuda, device_},
                          static_cast<int32_t>(made->sizes.size()),
                          {dlpack::kFloat, 32, 1},
                          made->sizes.data(),
                          nullptr,
                          0};
  made->managed.owner = made.get();
  made->managed.deleter = delete_export;
  PyObject* const capsule = PyCapsule_New(&made->managed, dlpack::kCapsule, delete_capsule);
  if (capsule == nullptr) throw py::error_already_set();
  [[maybe_unused]] const Export* theirs = made.release();
  return py::reinterpret_steal<py::object>(capsule);
}

}  // namespace squish::bindings
