#include "support/net_builder.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace squish::testing {

NetBuilder::NetBuilder(uint32_t seed, int input_channels) : random_(seed) {
  InputDescription& input = net_.input;
  input.channels = input_channels;
  input.height = input.width = input.resize = 32;
  for (int c = 0; c < input_channels; ++c) {
    input.mean.push_back(0.4f + 0.05f * static_cast<float>(c));
    input.std.push_back(0.2f + 0.03f * static_cast<float>(c));
  }
}

int NetBuilder::channels(int layer) const {
  return layer < 0 ? net_.input.channels : channels_[static_cast<size_t>(layer)];
}

LayerDescription& NetBuilder::add_layer(LayerKind kind, std::vector<int> inputs) {
  static constexpr const char* kNames[] = {"", "conv", "fire", "pool", "add", "average"};
  LayerDescription layer;
  layer.kind = kind;
  layer.name = kNames[static_cast<int>(kind)] + std::to_string(net_.layers.size());
  layer.inputs = std::move(inputs);
  channels_.push_back(channels(layer.inputs[0]));
  net_.layers.push_back(std::move(layer));
  return net_.layers.back();
}

int NetBuilder::conv(int input, int out_channels, const Window& window, const ConvStyle& style) {
  const int in_channels = channels(input);
  add_layer(LayerKind::kConv, {input}).convs = {random_conv(out_channels, in_channels, window, style)};
  channels_.back() = out_channels;
  return last();
}

int NetBuilder::fire(int input, const FireWidths& widths, const ConvStyle& style) {
  const int in_channels = channels(input);
  add_layer(LayerKind::kFire, {input}).convs = {
      random_conv(widths.squeeze, in_channels, square(1), style),
      random_conv(widths.expand1x1, widths.squeeze, square(1), style),
      random_conv(widths.expand3x3, widths.squeeze, square(3, 1, 1), style)};
  channels_.back() = widths.expand1x1 + widths.expand3x3;
  return last();
}

int NetBuilder::max_pool(int input, const Window& window, bool ceil_mode) {
  LayerDescription& layer = add_layer(LayerKind::kMaxPool, {input});
  layer.window = window;
  layer.ceil_mode = ceil_mode;
  return last();
}

int NetBuilder::add(int a, int b, bool relu) {
  add_layer(LayerKind::kAdd, {a, b}).relu = relu;
  return last();
}

int NetBuilder::global_average_pool(int input) {
  add_layer(LayerKind::kGlobalAveragePool, {input});
  return last();
}

// Weights scaled so that activations keep their size from layer to layer.
ConvDescription NetBuilder::random_conv(int out, int in, const Window& window, const ConvStyle& style) {
  ConvSource source;
  source.out_channels = out;
  source.in_channels = in;
  source.window = window;
  source.relu = style.relu;
  source.type = style.type;
  source.encoding = style.encoding;
  const int columns = in * window.kernel_h * window.kernel_w;
  const double magnitude = std::sqrt(6 / std::max(columns * style.density, 1.0));
  std::vector<bool> cluster_lives(static_cast<size_t>(columns));
  for (int o = 0; o < out; ++o) {
    for (size_t k = 0; k < cluster_lives.size(); ++k) {
      if (!style.clusters_die || o % kClusterRows == 0) cluster_lives[k] = random_.chance(style.density);
      source.weight.push_back(cluster_lives[k] ? random_.value(magnitude) : 0);
    }
    source.bias.push_back(random_.value(0.2));
  }
  convs_.push_back(encode(source));
  return convs_.back().description;
}

void NetBuilder::hold_in_bytes() {
  std::vector<int> first{
      0};  // of the input and each layer: the activation that a chain of max pools begins with
  for (const LayerDescription& layer : net_.layers) {
    const bool pools = layer.kind == LayerKind::kMaxPool;
    first.push_back(pools ? first[static_cast<size_t>(layer.inputs[0] + 1)] : static_cast<int>(first.size()));
  }
  std::vector<Quantisation> held;
  const auto random = [&] {
    const float scale = 0.004f + 0.02f * static_cast<float>(random_.unit());
    return Quantisation{scale, random_.chance(0.5) ? random_.between(0, 255) : 0};
  };
  for (size_t k = 0; k < first.size(); ++k) held.push_back(random());
  for (LayerDescription& layer : net_.layers) {
    const Quantisation squeezed = random();
    for (size_t c = 0; c < layer.convs.size(); ++c) {
      if (layer.convs[c].out_channels == 0) continue;
      const auto read = static_cast<size_t>(first[static_cast<size_t>(layer.inputs[0] + 1)]);
      layer.convs[c].activation = c == 0 ? held[read] : squeezed;
    }
  }
}

std::shared_ptr<const Model> NetBuilder::model() const {
  const std::vector<uint8_t> file = write(net_);
  return Model::from_bytes(file.data(), file.size());
}

}  // namespace squish::testing
