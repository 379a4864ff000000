#include "bindings/batch.h"

#include <functional>
#include <limits>
#include <string>

#include "squish/error.h"

namespace py = pybind11;

namespace squish::bindings {
namespace {

std::string sizes_text(const Sizes& sizes) {
  std::string text = "(";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + (sizes.size() == 1 ? ",)" : ")");
}

void check_layout(const ArrayView& array, const char* what) {
  if (!array.contiguous) {
    throw InvalidArgument(std::string(what) + ": must be C-contiguous and aligned, copy it in C's order");
  }
}

bool overlap(const ArrayView& a, const ArrayView& b) {
  const auto* a_begin = static_cast<const char*>(a.data);
  const auto* b_begin = static_cast<const char*>(b.data);
  const std::less<const char*> before;
  return before(a_begin, b_begin + b.bytes) && before(b_begin, a_begin + a.bytes);
}

}  // namespace

ArrayView view_of(const py::array& array) {
  constexpr int kAligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  const int flags = array.flags();
  return {array.data(),
          py::str(array.dtype()),
          Sizes(array.shape(), array.shape() + array.ndim()),
          static_cast<size_t>(array.nbytes()),
          (flags & py::array::c_style) && (flags & kAligned),
          array.writeable()};
}

ImageBatch image_batch(const ArrayView& array, int channels) {
  const Sizes& sizes = array.sizes;
  const bool floats = array.dtype == "float32";
  if (!floats && array.dtype != "uint8") {
    throw py::type_error("batch: got dtype " + array.dtype +
                         ", wanted float32 (N, C, H, W) or uint8 (N, H, W, C)");
  }
  const std::string c = std::to_string(channels);
  const std::string wanted = floats ? "float32 (N, " + c + ", H, W)" : "uint8 (N, H, W, " + c + ")";
  const std::string got = "batch: got " + array.dtype + " " + sizes_text(sizes) + ", wanted " + wanted;
  if (sizes.size() == 3) throw InvalidArgument(got + ": add the batch axis, image[None]");
  if (sizes.size() != 4 || sizes[floats ? 1 : 3] != channels) throw InvalidArgument(got);
  check_layout(array, "batch");

  const size_t height_axis = floats ? 2 : 1;
  constexpr py::ssize_t kMaxExtent = std::numeric_limits<int>::max();
  if (sizes[height_axis] > kMaxExtent || sizes[height_axis + 1] > kMaxExtent) throw InvalidArgument(got);

  ImageBatch batch;
  batch.data = array.data;
  batch.format = floats ? PixelFormat::kF32Nchw : PixelFormat::kU8Nhwc;
  batch.count = sizes[0];
  batch.height = static_cast<int>(sizes[height_axis]);
  batch.width = static_cast<int>(sizes[height_axis + 1]);
  return batch;
}

void check_out(const ArrayView& out, const Sizes& sizes, const ArrayView& batch) {
  if (out.dtype != "float32") throw py::type_error("out: got dtype " + out.dtype + ", wanted float32");
  if (out.sizes != sizes) {
    throw InvalidArgument("out: got shape " + sizes_text(out.sizes) + ", wanted " + sizes_text(sizes));
  }
  check_layout(out, "out");
  if (!out.writable) throw InvalidArgument("out: is read-only");
  if (overlap(out, batch)) throw InvalidArgument("out: shares memory with the batch");
}

}  // namespace squish::bindings
