#include "model/graph.h"

#include <string>
#include <utility>

#include "squish/error.h"

namespace squish {
namespace {

std::string size_text(int height, int width) { return std::to_string(height) + "x" + std::to_string(width); }

int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

bool is_window(const Window& w, int kernel, int pad) {
  return w.kernel_h == kernel && w.kernel_w == kernel && w.stride_h == 1 && w.stride_w == 1 &&
         w.pad_top == pad && w.pad_left == pad && w.pad_bottom == pad && w.pad_right == pad;
}

Shape output_of(const LayerDescription& layer, int channels, Shape in) {
  if (layer.kind == LayerKind::kGlobalAveragePool) return {channels, 1, 1};
  if (layer.kind == LayerKind::kMaxPool) {
    const Window& w = layer.window;
    return {channels,
            pool_extent(in.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, layer.ceil_mode),
            pool_extent(in.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, layer.ceil_mode)};
  }
  if (layer.kind == LayerKind::kConv) {
    const Window& w = layer.convs[0].window;
    return {channels, conv_extent(in.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom),
            conv_extent(in.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right)};
  }
  return {channels, in.height, in.width};  // Fire and Add keep the size
}

}  // namespace

int conv_extent(int input, int kernel, int stride, int pad_before, int pad_after) {
  return floor_div(input + pad_before + pad_after - kernel, stride) + 1;
}

int pool_extent(int input, int kernel, int stride, int pad_before, int pad_after, bool ceil_mode) {
  const int span = input + pad_before + pad_after - kernel;
  if (!ceil_mode) return floor_div(span, stride) + 1;
  const int windows = floor_div(span + stride - 1, stride) + 1;
  const bool last_begins_in_padding = (windows - 1) * stride >= input + pad_before;
  return last_begins_in_padding ? windows - 1 : windows;
}

std::string layer_place(int k, const LayerDescription& layer) {
  return "layer " + std::to_string(k) + " '" + layer.name + "'";
}

Graph::Graph(NetDescription net) : net_(std::move(net)), consumers_(net_.layers.size() + 1) {
  if (net_.layers.empty()) throw FormatError("the net has no layers");
  for (int k = 0; k < size(); ++k) check_layer(k);
  check_weights();
  for (int k = 0; k + 1 < size(); ++k) {  // the net's input is used: the first layer has no other
    if (!consumers(k).empty()) continue;
    throw FormatError(layer_place(k, layers()[static_cast<size_t>(k)]) +
                      ": no layer uses it, each output but the last must be used");
  }
  const auto& labels = net_.labels;
  if (!labels.empty() && static_cast<int>(labels.size()) != channels(size() - 1)) {
    throw FormatError("labels: got " + std::to_string(labels.size()) + " names for " +
                      std::to_string(channels(size() - 1)) + " outputs");
  }
}

void Graph::check_layer(int k) {
  const LayerDescription& layer = net_.layers[static_cast<size_t>(k)];
  for (int input : layer.inputs) consumers_[static_cast<size_t>(input + 1)].push_back(k);
  int channels = this->channels(layer.inputs[0]);
  if (layer.kind == LayerKind::kConv || layer.kind == LayerKind::kFire) {
    check_convs(k);
    if (layer.kind == LayerKind::kFire) check_fire(k);
    channels = layer.kind == LayerKind::kConv
                   ? layer.convs[0].out_channels
                   : layer.convs[kExpand1x1].out_channels + layer.convs[kExpand3x3].out_channels;
  } else if (layer.kind == LayerKind::kAdd && channels != this->channels(layer.inputs[1])) {
    throw FormatError(layer_place(k, layer) + ": adds " + std::to_string(channels) + " channels to " +
                      std::to_string(this->channels(layer.inputs[1])));
  }
  channels_.push_back(channels);
}

void Graph::check_convs(int k) const {
  const LayerDescription& layer = net_.layers[static_cast<size_t>(k)];
  for (size_t c = 0; c < layer.convs.size(); ++c) {
    const int want = c == kSqueeze ? channels(layer.inputs[0]) : layer.convs[kSqueeze].out_channels;
    if (layer.convs[c].in_channels == want) continue;
    throw FormatError(layer_place(k, layer) + ": convolution " + std::to_string(c) + " reads " +
                      std::to_string(layer.convs[c].in_channels) + " channels, its input has " +
                      std::to_string(want));
  }
}

void Graph::check_fire(int k) const {
  const LayerDescription& layer = net_.layers[static_cast<size_t>(k)];
  const auto& convs = layer.convs;
  const bool ok = is_window(convs[kSqueeze].window, 1, 0) && is_window(convs[kExpand1x1].window, 1, 0) &&
                  is_window(convs[kExpand3x3].window, 3, 1);
  if (!ok) {
    throw FormatError(layer_place(k, layer) +
                      ": a Fire is squeeze 1x1, expand 1x1 and expand 3x3 with padding 1, all with stride 1");
  }
  if (convs[kExpand1x1].out_channels + convs[kExpand3x3].out_channels == 0) {
    throw FormatError(layer_place(k, layer) + ": both expands are empty, at least one filter must remain");
  }
  const bool both = convs[kExpand1x1].out_channels > 0 && convs[kExpand3x3].out_channels > 0;
  if (both && convs[kExpand1x1].relu != convs[kExpand3x3].relu) {
    throw FormatError(layer_place(k, layer) + ": one expand has a ReLU and the other has none");
  }
}

void Graph::check_weights() const {
  int64_t weights = 0;
  for (int k = 0; k < size(); ++k) {
    const LayerDescription& layer = net_.layers[static_cast<size_t>(k)];
    for (const ConvDescription& conv : layer.convs) weights += conv.weight_count();  // each below 2^48
    if (weights <= kMaxWeights) continue;
    throw FormatError(layer_place(k, layer) + ": with it the net has " + std::to_string(weights) +
                      " weights, must be at most " + std::to_string(kMaxWeights));
  }
}

std::vector<Shape> Graph::shapes(int height, int width) const {
  // Sums of two extents and a padding must stay within int.
  constexpr int kMaxExtent = 1 << 20;
  if (height < 1 || width < 1 || height > kMaxExtent || width > kMaxExtent) {
    throw InvalidArgument("image: got " + size_text(height, width) + " pixels, each side must be 1 to " +
                          std::to_string(kMaxExtent));
  }
  std::vector<Shape> shapes;
  auto shape_of = [&](int k) {
    return k < 0 ? Shape{channels(-1), height, width} : shapes[static_cast<size_t>(k)];
  };
  for (int k = 0; k < size(); ++k) {
    const LayerDescription& layer = layers()[static_cast<size_t>(k)];
    const Shape in = shape_of(layer.inputs[0]);
    const Shape out = output_of(layer, channels(k), in);
    if (out.height < 1 || out.width < 1) {
      throw InvalidArgument("image: got " + size_text(height, width) +
                            " pixels, too small for the net: " + layer_place(k, layer) + " gets " +
                            size_text(in.height, in.width) + " and would give nothing");
    }
    if (layer.kind == LayerKind::kAdd && in != shape_of(layer.inputs[1])) {
      const Shape other = shape_of(layer.inputs[1]);
      throw InvalidArgument("image: got " + size_text(height, width) + " pixels: " + layer_place(k, layer) +
                            " would add " + size_text(in.height, in.width) + " to " +
                            size_text(other.height, other.width));
    }
    shapes.push_back(out);
  }
  return shapes;
}

}  // namespace squish
