#include "bindings/batch.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <string>

#include "squish/error.h"

namespace py = pybind11;

namespace squish::bindings {
namespace {

std::string dtype_name(const py::array& array) { return py::str(array.dtype()); }

template <typename Sizes>
std::string shape_text(const Sizes* sizes, py::ssize_t count) {
  std::string text = "(";
  for (py::ssize_t i = 0; i < count; ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + (count == 1 ? ",)" : ")");
}

std::string shape_text(const py::array& array) { return shape_text(array.shape(), array.ndim()); }

// Also false for a byte order that is not the machine's.
template <typename T>
bool is_a(const py::array& array) {
  return py::isinstance<py::array_t<T>>(array);
}

void check_layout(const py::array& array, const char* what) {
  constexpr int kAligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if (!(array.flags() & py::array::c_style) || !(array.flags() & kAligned)) {
    throw InvalidArgument(std::string(what) +
                          ": must be C-contiguous and aligned, use numpy.ascontiguousarray");
  }
}

bool overlap(const py::array& a, const py::array& b) {
  const auto* a_begin = static_cast<const char*>(a.data());
  const auto* b_begin = static_cast<const char*>(b.data());
  const std::less<const char*> before;
  return before(a_begin, b_begin + b.nbytes()) && before(b_begin, a_begin + a.nbytes());
}

}  // namespace

ImageBatch image_batch(const py::array& array, int channels) {
  const bool floats = is_a<float>(array);
  if (!floats && !is_a<uint8_t>(array)) {
    throw py::type_error("batch: got dtype " + dtype_name(array) +
                         ", wanted float32 (N, C, H, W) or uint8 (N, H, W, C)");
  }
  const std::string c = std::to_string(channels);
  const std::string wanted = floats ? "float32 (N, " + c + ", H, W)" : "uint8 (N, H, W, " + c + ")";
  const std::string got = "batch: got " + dtype_name(array) + " " + shape_text(array) + ", wanted " + wanted;
  if (array.ndim() == 3) throw InvalidArgument(got + ": add the batch axis, image[None]");
  if (array.ndim() != 4 || array.shape(floats ? 1 : 3) != channels) throw InvalidArgument(got);
  check_layout(array, "batch");

  const int height_axis = floats ? 2 : 1;
  constexpr py::ssize_t kMaxExtent = std::numeric_limits<int>::max();
  if (array.shape(height_axis) > kMaxExtent || array.shape(height_axis + 1) > kMaxExtent)
    throw InvalidArgument(got);

  ImageBatch batch;
  batch.data = array.data();
  batch.format = floats ? PixelFormat::kF32Nchw : PixelFormat::kU8Nhwc;
  batch.count = array.shape(0);
  batch.height = static_cast<int>(array.shape(height_axis));
  batch.width = static_cast<int>(array.shape(height_axis + 1));
  return batch;
}

void check_out(const py::array& out, const std::vector<py::ssize_t>& shape, const py::array& batch) {
  if (!is_a<float>(out)) throw py::type_error("out: got dtype " + dtype_name(out) + ", wanted float32");
  const auto rank = static_cast<py::ssize_t>(shape.size());
  if (out.ndim() != rank || !std::equal(shape.begin(), shape.end(), out.shape())) {
    throw InvalidArgument("out: got shape " + shape_text(out) + ", wanted " + shape_text(shape.data(), rank));
  }
  check_layout(out, "out");
  if (!out.writeable()) throw InvalidArgument("out: is read-only");
  if (overlap(out, batch)) throw InvalidArgument("out: shares memory with the batch");
}

}  // namespace squish::bindings
