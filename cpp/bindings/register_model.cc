// Model and what it stores, as _core.pyi describes them. LayerInfo and ConvInfo keep their model alive.
#include <pybind11/numpy.h>

#include "bindings/convert.h"
#include "bindings/register.h"
#include "bindings/released_gil.h"
#include "format/weights.h"
#include "model/graph.h"
#include "squish/model.h"

namespace py = pybind11;

namespace squish::bindings {
namespace {

using ModelPtr = std::shared_ptr<const Model>;

struct ConvInfo {
  ModelPtr owner;
  const ConvDescription* conv;
};

struct LayerInfo {
  ModelPtr owner;
  const LayerDescription* layer;

  std::vector<ConvInfo> convs() const {
    std::vector<ConvInfo> infos;
    infos.reserve(layer->convs.size());
    for (const ConvDescription& conv : layer->convs) infos.push_back({owner, &conv});
    return infos;
  }
};

std::vector<LayerInfo> layers_of(const ModelPtr& model) {
  std::vector<LayerInfo> infos;
  infos.reserve(model->description().layers.size());
  for (const LayerDescription& layer : model->description().layers) infos.push_back({model, &layer});
  return infos;
}

std::vector<std::tuple<int, int, int>> layer_shapes(const Model& model, int height, int width) {
  std::vector<std::tuple<int, int, int>> shapes;
  for (const Shape& shape : model.graph().shapes(height, width)) shapes.push_back(shape_tuple(shape));
  return shapes;
}

py::array_t<float> weight_of(const ConvInfo& info) {
  const ConvDescription& c = *info.conv;
  const std::vector<float> values = decode_dense(c);
  const std::vector<py::ssize_t> shape = {c.out_channels, c.in_channels, c.window.kernel_h,
                                          c.window.kernel_w};
  return py::array_t<float>(shape, values.data());
}

py::array_t<float> array_of(const std::vector<float>& values) {
  return py::array_t<float>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::array_t<float> bias_of(const ConvInfo& info) { return array_of(decode_bias(*info.conv)); }

std::optional<py::array_t<float>> scale_of(const ConvInfo& info) {
  const WeightType type = info.conv->type;
  if (type != WeightType::kI8 && type != WeightType::kI4) return {};
  return array_of(decode_scale(*info.conv));
}

ModelPtr from_bytes(const py::bytes& data) {
  const std::string_view bytes = data;
  const ReleasedGil released;
  return Model::from_bytes(bytes.data(), bytes.size());
}

ModelPtr load(py::handle path) {
  const std::string file = file_path(path);
  const ReleasedGil released;
  return Model::load(file);
}

void register_conv_info(py::module_& m) {
  py::class_<ConvInfo>(m, "ConvInfo", "One convolution as the file stores it.")
      .def_property_readonly("out_channels", [](const ConvInfo& i) { return i.conv->out_channels; })
      .def_property_readonly("in_channels", [](const ConvInfo& i) { return i.conv->in_channels; })
      .def_property_readonly("kernel", [](const ConvInfo& i) { return kernel_of(i.conv->window); })
      .def_property_readonly("stride", [](const ConvInfo& i) { return stride_of(i.conv->window); })
      .def_property_readonly("padding", [](const ConvInfo& i) { return padding_of(i.conv->window); })
      .def_property_readonly("relu", [](const ConvInfo& i) { return i.conv->relu; })
      .def_property_readonly("activation",
                             [](const ConvInfo& i) -> std::optional<std::pair<float, int>> {
                               const Quantisation& activation = i.conv->activation;
                               if (!activation.is_bytes()) return {};
                               return std::pair{activation.scale, activation.zero};
                             })
      .def_property_readonly("encoding", [](const ConvInfo& i) { return name_of(i.conv->encoding); })
      .def_property_readonly("dtype", [](const ConvInfo& i) { return name_of(i.conv->type); })
      .def_property_readonly("compressed", [](const ConvInfo& i) { return i.conv->is_compressed(); })
      .def_property_readonly("payload_bytes", [](const ConvInfo& i) { return i.conv->payload_bytes(); })
      .def_property_readonly("live_weights", [](const ConvInfo& i) { return count_live_weights(*i.conv); })
      .def_property_readonly("live_clusters", [](const ConvInfo& i) { return count_live_clusters(*i.conv); })
      .def_property_readonly("clusters", [](const ConvInfo& i) { return count_clusters(*i.conv); })
      .def("weight", &weight_of, "(O, I, H, W), decoded; absent weights are 0.")
      .def("bias", &bias_of, "(O,)")
      .def("scale", &scale_of, "(O,), of integers: weight = scale * an int8. None of floats.");
}

void register_layer_info(py::module_& m) {
  py::class_<LayerInfo>(m, "LayerInfo", "One layer as the file stores it.")
      .def_property_readonly("kind", [](const LayerInfo& i) { return name_of(i.layer->kind); })
      .def_property_readonly("name", [](const LayerInfo& i) { return i.layer->name; })
      .def_property_readonly("inputs", [](const LayerInfo& i) { return i.layer->inputs; })
      .def_property_readonly("relu", [](const LayerInfo& i) { return i.layer->relu; })
      .def_property_readonly("ceil_mode", [](const LayerInfo& i) { return i.layer->ceil_mode; })
      .def_property_readonly("kernel", [](const LayerInfo& i) { return kernel_of(i.layer->window); })
      .def_property_readonly("stride", [](const LayerInfo& i) { return stride_of(i.layer->window); })
      .def_property_readonly("padding", [](const LayerInfo& i) { return padding_of(i.layer->window); })
      .def_property_readonly("convs", &LayerInfo::convs);
}

}  // namespace

void register_model(py::module_& m) {
  register_conv_info(m);
  register_layer_info(m);
  py::class_<Model, std::shared_ptr<Model>>(m, "Model", "A net read from a .squish file. Immutable.")
      .def_static("load", &load, py::arg("path"))
      .def_static("from_bytes", &from_bytes, py::arg("data"))
      .def_property_readonly("input_shape",
                             [](const Model& model) { return shape_tuple(model.input_shape()); })
      .def_property_readonly("resize", [](const Model& model) { return model.description().input.resize; })
      .def_property_readonly(
          "interpolation",
          [](const Model& model) { return name_of(model.description().input.interpolation); })
      .def_property_readonly("mean", [](const Model& model) { return model.description().input.mean; })
      .def_property_readonly("std", [](const Model& model) { return model.description().input.std; })
      .def_property_readonly("labels", &Model::labels)
      .def_property_readonly("about", [](const Model& model) { return model.description().about; })
      .def_property_readonly("classes", &Model::classes)
      .def_property_readonly("file_bytes", &Model::file_bytes)
      .def_property_readonly("why_not_in_integers", &Model::why_not_in_integers,
                             "Empty where the file is made for integer arithmetic, else why it is not.")
      .def_property_readonly("layers", &layers_of)
      .def(
          "output_shape",
          [](const Model& model, int height, int width) {
            return shape_tuple(model.output_shape(height, width));
          },
          py::arg("height"), py::arg("width"))
      .def("layer_shapes", &layer_shapes, py::arg("height"), py::arg("width"),
           "The output shape of every layer.");
}

}  // namespace squish::bindings
