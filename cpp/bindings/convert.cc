#include "bindings/convert.h"

#include "squish/error.h"

namespace py = pybind11;

namespace squish::bindings {

Window make_window(Pair kernel, Pair stride, Padding padding) {
  Window w;
  std::tie(w.kernel_h, w.kernel_w) = kernel;
  std::tie(w.stride_h, w.stride_w) = stride;
  std::tie(w.pad_top, w.pad_left, w.pad_bottom, w.pad_right) = padding;
  return w;
}

std::string file_path(py::handle path) {
  PyObject* bytes = nullptr;
  if (!PyUnicode_FSConverter(path.ptr(), static_cast<void*>(&bytes))) throw py::error_already_set();
  return py::reinterpret_steal<py::bytes>(bytes);
}

const char* name_of(LayerKind kind) {
  switch (kind) {
    case LayerKind::kConv:
      return "conv";
    case LayerKind::kFire:
      return "fire";
    case LayerKind::kMaxPool:
      return "max_pool";
    case LayerKind::kAdd:
      return "add";
    case LayerKind::kGlobalAveragePool:
      return "global_average_pool";
  }
  throw FormatError("layer kind " + std::to_string(static_cast<int>(kind)) + " has no name");
}

const char* name_of(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kDense:
      return "dense";
    case WeightEncoding::kCluster16x1:
      return "cluster16x1";
    case WeightEncoding::kCluster16x4:
      return "cluster16x4";
    case WeightEncoding::kSynapse:
      return "synapse";
  }
  throw FormatError("weight encoding " + std::to_string(static_cast<int>(encoding)) + " has no name");
}

const char* name_of(WeightType type) {
  switch (type) {
    case WeightType::kF32:
      return "f32";
    case WeightType::kF16:
      return "f16";
    case WeightType::kI8:
      return "i8";
    case WeightType::kI4:
      return "i4";
  }
  throw FormatError("weight type " + std::to_string(static_cast<int>(type)) + " has no name");
}

const char* name_of(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::kNearest:
      return "nearest";
    case Interpolation::kBilinear:
      return "bilinear";
    case Interpolation::kBicubic:
      return "bicubic";
  }
  throw FormatError("interpolation " + std::to_string(static_cast<int>(interpolation)) + " has no name");
}

WeightType weight_type(const std::string& name) {
  for (WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kI8, WeightType::kI4}) {
    if (name == name_of(type)) return type;
  }
  throw_unknown("dtype", name, "'f32', 'f16', 'i8' or 'i4'");
}

Interpolation interpolation(const std::string& name) {
  for (Interpolation i : {Interpolation::kNearest, Interpolation::kBilinear, Interpolation::kBicubic}) {
    if (name == name_of(i)) return i;
  }
  throw_unknown("interpolation", name, "'nearest', 'bilinear' or 'bicubic'");
}

void throw_unknown(const char* what, const std::string& got, const char* wanted) {
  throw InvalidArgument(std::string(what) + ": got '" + got + "', wanted " + wanted);
}

}  // namespace squish::bindings
