// NetWriter: NumPy weights to a .squish file.
#include <pybind11/numpy.h>

#include <optional>

#include "bindings/convert.h"
#include "bindings/net_writer.h"
#include "bindings/register.h"
#include "replace_file.h"
#include "squish/error.h"

namespace py = pybind11;

namespace squish::bindings {
namespace {

using Activation =
    std::optional<std::pair<float, int>>;  // scale and zero of the input, where it is held in bytes
using Filters = std::tuple<py::array, py::array, Activation>;  // weight (O, I, H, W), bias (O,)

EncodingChoice encoding_choice(const std::string& name) {
  if (name == "smallest") return EncodingChoice::kSmallest;
  if (name == name_of(WeightEncoding::kDense)) return EncodingChoice::kDense;
  if (name == name_of(WeightEncoding::kCluster16x1)) return EncodingChoice::kCluster16x1;
  if (name == name_of(WeightEncoding::kCluster16x4)) return EncodingChoice::kCluster16x4;
  if (name == name_of(WeightEncoding::kSynapse)) return EncodingChoice::kSynapse;
  throw_unknown("encoding", name, "'smallest', 'dense', 'cluster16x1', 'cluster16x4' or 'synapse'");
}

std::vector<float> floats(const py::array& array, py::ssize_t rank, const std::string& what) {
  if (!py::isinstance<py::array_t<float>>(array)) {
    throw py::type_error(what + ": got dtype " + std::string(py::str(array.dtype())) + ", wanted float32");
  }
  if (array.ndim() != rank) {
    throw InvalidArgument(what + ": got " + std::to_string(array.ndim()) + " axes, wanted " +
                          std::to_string(rank));
  }
  const auto contiguous = py::array_t<float, py::array::c_style>::ensure(array);
  if (!contiguous) throw py::error_already_set();
  return {contiguous.data(), contiguous.data() + contiguous.size()};
}

struct Storage {
  WeightType type;
  EncodingChoice encoding;
  bool compress;
};

ConvSource conv_source(const std::string& what, const py::array& weight, const std::optional<py::array>& bias,
                       Pair stride, Padding padding, bool relu, const Activation& activation,
                       Storage storage) {
  ConvSource source;
  source.weight = floats(weight, 4, what + ": weight");
  if (bias) source.bias = floats(*bias, 1, what + ": bias");
  const auto extent = [&](int axis) { return static_cast<int>(weight.shape(axis)); };
  source.out_channels = extent(0);
  source.in_channels = extent(1);
  source.window = make_window({extent(2), extent(3)}, stride, padding);
  source.relu = relu;
  if (activation) source.activation = {activation->first, activation->second};
  source.type = storage.type;
  source.encoding = storage.encoding;
  source.compress = storage.compress;
  return source;
}

// One of a Fire's convolutions: kernel x kernel, same size out as in, followed by ReLU. None: no filters.
ConvSource fire_source(const std::string& what, const std::optional<Filters>& filters, int in_channels,
                       int kernel, Storage storage) {
  const int pad = kernel / 2;
  const Padding padding{pad, pad, pad, pad};
  if (filters) {
    const auto& [weight, bias, activation] = *filters;
    return conv_source(what, weight, bias, {1, 1}, padding, true, activation, storage);
  }
  ConvSource absent;
  absent.in_channels = in_channels;
  absent.window = make_window({kernel, kernel}, {1, 1}, padding);
  absent.relu = true;
  return absent;
}

LayerDescription layer(LayerKind kind, const std::string& name, std::vector<int> inputs) {
  LayerDescription description;
  description.kind = kind;
  description.name = name;
  description.inputs = std::move(inputs);
  return description;
}

NetWriter make_writer(int channels, int height, int width, std::vector<float> mean, std::vector<float> std,
                      int resize, const std::string& interpolation_name) {
  InputDescription input;
  input.channels = channels;
  input.height = height;
  input.width = width;
  input.mean = std::move(mean);
  input.std = std::move(std);
  input.resize = resize;
  input.interpolation = interpolation(interpolation_name);
  return NetWriter(std::move(input));
}

int conv(NetWriter& writer, const std::string& name, int input, const py::array& weight,
         const std::optional<py::array>& bias, Pair stride, Padding padding, bool relu,
         const std::string& dtype, const std::string& encoding, bool compress, const Activation& activation) {
  const Storage storage{weight_type(dtype), encoding_choice(encoding), compress};
  const std::string what = "layer '" + name + "'";
  return writer.append(layer(LayerKind::kConv, name, {input}),
                       {conv_source(what, weight, bias, stride, padding, relu, activation, storage)});
}

int fire(NetWriter& writer, const std::string& name, int input, const Filters& squeeze,
         const std::optional<Filters>& expand1x1, const std::optional<Filters>& expand3x3,
         const std::string& dtype, const std::string& encoding, bool compress) {
  const Storage storage{weight_type(dtype), encoding_choice(encoding), compress};
  const std::string what = "layer '" + name + "': ";
  std::vector<ConvSource> sources = {fire_source(what + "squeeze", squeeze, 0, 1, storage)};
  const int squeezed = sources[0].out_channels;
  sources.push_back(fire_source(what + "expand1x1", expand1x1, squeezed, 1, storage));
  sources.push_back(fire_source(what + "expand3x3", expand3x3, squeezed, 3, storage));
  return writer.append(layer(LayerKind::kFire, name, {input}), sources);
}

int max_pool(NetWriter& writer, const std::string& name, int input, Pair kernel, Pair stride, Padding padding,
             bool ceil_mode) {
  LayerDescription pool = layer(LayerKind::kMaxPool, name, {input});
  pool.window = make_window(kernel, stride, padding);
  pool.ceil_mode = ceil_mode;
  return writer.append(std::move(pool));
}

int add(NetWriter& writer, const std::string& name, std::pair<int, int> inputs, bool relu) {
  LayerDescription sum = layer(LayerKind::kAdd, name, {inputs.first, inputs.second});
  sum.relu = relu;
  return writer.append(std::move(sum));
}

int global_average_pool(NetWriter& writer, const std::string& name, int input) {
  return writer.append(layer(LayerKind::kGlobalAveragePool, name, {input}));
}

py::bytes to_bytes(const NetWriter& writer) {
  const std::vector<uint8_t> bytes = writer.to_bytes();
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

void register_writer(py::module_& m) {
  const Padding none{0, 0, 0, 0};
  const Pair one{1, 1};
  py::class_<NetWriter>(m, "NetWriter", "Collects layers and writes a .squish file.")
      .def(py::init(&make_writer), py::arg("channels"), py::arg("height"), py::arg("width"), py::arg("mean"),
           py::arg("std"), py::arg("resize") = 0, py::arg("interpolation") = "bilinear")
      .def("conv", &conv, py::arg("name"), py::arg("input"), py::arg("weight"), py::arg("bias"),
           py::arg("stride") = one, py::arg("padding") = none, py::arg("relu") = true,
           py::arg("dtype") = "f32", py::arg("encoding") = "smallest", py::arg("compress") = true,
           py::arg("activation") = py::none())
      .def("fire", &fire, py::arg("name"), py::arg("input"), py::arg("squeeze"), py::arg("expand1x1"),
           py::arg("expand3x3"), py::arg("dtype") = "f32", py::arg("encoding") = "smallest",
           py::arg("compress") = true)
      .def("max_pool", &max_pool, py::arg("name"), py::arg("input"), py::arg("kernel"), py::arg("stride"),
           py::arg("padding") = none, py::arg("ceil_mode") = false)
      .def("add", &add, py::arg("name"), py::arg("inputs"), py::arg("relu") = false)
      .def("global_average_pool", &global_average_pool, py::arg("name"), py::arg("input"))
      .def("set_labels", &NetWriter::set_labels, py::arg("labels"))
      .def("set_about", &NetWriter::set_about, py::arg("text"))
      .def("to_bytes", &to_bytes)
      .def(
          "save",
          [](const NetWriter& writer, py::handle path) {
            const std::vector<uint8_t> bytes = writer.to_bytes();
            replace_file(file_path(path), bytes.data(), bytes.size());
          },
          py::arg("path"), "Writes beside `path` and renames: an old file stays whole until the new one is.");
}

}  // namespace squish::bindings
