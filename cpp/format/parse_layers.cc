#include "format/parse_layers.h"

#include <algorithm>

namespace squish {
namespace {

const char* conv_name(LayerKind kind, int k) {
  constexpr const char* kFireConvs[] = {"squeeze", "expand1x1", "expand3x3"};
  return kind == LayerKind::kFire ? kFireConvs[k] : "conv";
}

int read_layer_count(const ByteReader& layers) {
  const size_t count = layers.left() / kLayerRecordBytes;
  if (layers.left() % kLayerRecordBytes != 0 || count < 1 || count > kMaxLayers) {
    layers.fail(concat("section kLayers has ", layers.left(), " bytes, must be 1 to ", kMaxLayers,
                       " records of ", kLayerRecordBytes));
  }
  return static_cast<int>(count);
}

void read_flags(ByteReader& layers, LayerDescription& layer) {
  const bool add = layer.kind == LayerKind::kAdd, pool = layer.kind == LayerKind::kMaxPool;
  const int flags = layers.read<uint8_t>("flags"), allowed = (add ? kFlagRelu : 0) | (pool ? kFlagCeil : 0);
  if ((flags & ~allowed) != 0) layers.fail(concat("flags is ", flags, ", this kind allows ", allowed));
  layer.relu = (flags & kFlagRelu) != 0;
  layer.ceil_mode = (flags & kFlagCeil) != 0;
}

std::string read_name(ByteReader& layers, ByteReader& strings) {
  const int bytes = layers.read_int<uint16_t>("name_bytes", 1, kMaxNameBytes);
  const uint32_t offset = layers.read<uint32_t>("name_offset");
  if (offset != strings.position()) {
    layers.fail(concat("name_offset is ", offset, ", must be ", strings.position()));
  }
  strings.set_place(layers.place());
  return strings.take_text(static_cast<uint64_t>(bytes), "name");
}

// `index` is this layer's: it may read the net's input (0 in the file) and the layers before it (1 to index).
std::vector<int> read_inputs(ByteReader& layers, LayerKind kind, int index) {
  std::vector<int> inputs(static_cast<size_t>(input_count(kind)));
  for (int& input : inputs) input = layers.read_int<uint16_t>("input", 0, index) - 1;
  if (inputs.size() == 1) layers.skip_zeros(sizeof(uint16_t), "second input");
  return inputs;
}

// next_conv: the index of the first record that no layer owns yet.
void read_conv_range(ByteReader& layers, LayerKind kind, int next_conv) {
  const int count = conv_count(kind), first = count == 0 ? 0 : next_conv;
  if (first > UINT16_MAX) layers.fail(concat("first_conv would be ", first, ", must be 0 to ", UINT16_MAX));
  layers.read_int<uint16_t>("first_conv", first, first);
  layers.read_int<uint8_t>("conv_count", count, count);
}

std::vector<ConvDescription> read_convs(LayerSections& sections, LayerKind kind) {
  std::vector<ConvDescription> convs;
  convs.reserve(static_cast<size_t>(conv_count(kind)));
  for (int k = 0; k < conv_count(kind); ++k) {
    sections.convs.set_place(sections.layers.place() + ": conv " + std::to_string(k) + " (" +
                             conv_name(kind, k) + ")");
    const bool is_expand = kind == LayerKind::kFire && k > 0;
    const bool last_hope = k == 2 && convs[1].out_channels == 0;  // of its Fire to have an output
    convs.push_back(parse_conv(sections.convs, sections.weights, is_expand && !last_hope));
  }
  return convs;
}

LayerDescription read_layer(LayerSections& sections, int index, int next_conv) {
  ByteReader& layers = sections.layers;
  LayerDescription layer;
  layers.set_place("layer " + std::to_string(index));
  layer.kind = static_cast<LayerKind>(layers.read_int<uint8_t>(
      "kind", static_cast<int>(LayerKind::kConv), static_cast<int>(LayerKind::kGlobalAveragePool)));
  read_flags(layers, layer);
  layer.name = read_name(layers, sections.strings);
  layers.set_place(layers.place() + " '" + layer.name + "'");
  layer.inputs = read_inputs(layers, layer.kind, index);
  read_conv_range(layers, layer.kind, next_conv);
  layers.skip_zeros(1, "reserved");
  if (layer.kind == LayerKind::kMaxPool) {
    layer.window = parse_window(layers);
  } else {
    layers.skip_zeros(8, "window of a layer that has none");
  }
  layers.skip_zeros(8, "reserved");
  layer.convs = read_convs(sections, layer.kind);
  return layer;
}

// Reports the later of two layers with one name.
void check_names_differ(const ByteReader& layers, const std::vector<LayerDescription>& all) {
  std::vector<const LayerDescription*> by_name;
  by_name.reserve(all.size());
  for (const LayerDescription& layer : all) by_name.push_back(&layer);
  std::sort(by_name.begin(), by_name.end(), [](const LayerDescription* a, const LayerDescription* b) {
    return a->name != b->name ? a->name < b->name : a < b;
  });
  const auto equal = [](const LayerDescription* a, const LayerDescription* b) { return a->name == b->name; };
  const auto twin = std::adjacent_find(by_name.begin(), by_name.end(), equal);
  if (twin == by_name.end()) return;
  const auto first = static_cast<size_t>(twin[0] - all.data()),
             second = static_cast<size_t>(twin[1] - all.data());
  layers.fail_at(second * kLayerRecordBytes, concat("layer ", second, " has the same name as layer ", first,
                                                    ": '", all[first].name, "'"));
}

}  // namespace

int conv_count(LayerKind kind) { return kind == LayerKind::kConv ? 1 : kind == LayerKind::kFire ? 3 : 0; }

int input_count(LayerKind kind) { return kind == LayerKind::kAdd ? 2 : 1; }

Window parse_window(ByteReader& reader) {
  Window w;
  w.kernel_h = reader.read_int<uint8_t>("kernel_h", 1, UINT8_MAX);
  w.kernel_w = reader.read_int<uint8_t>("kernel_w", 1, UINT8_MAX);
  w.stride_h = reader.read_int<uint8_t>("stride_h", 1, UINT8_MAX);
  w.stride_w = reader.read_int<uint8_t>("stride_w", 1, UINT8_MAX);
  w.pad_top = reader.read_int<uint8_t>("pad_top", 0, w.kernel_h - 1);
  w.pad_left = reader.read_int<uint8_t>("pad_left", 0, w.kernel_w - 1);
  w.pad_bottom = reader.read_int<uint8_t>("pad_bottom", 0, w.kernel_h - 1);
  w.pad_right = reader.read_int<uint8_t>("pad_right", 0, w.kernel_w - 1);
  return w;
}

std::vector<LayerDescription> parse_layers(LayerSections sections) {
  const int count = read_layer_count(sections.layers);
  std::vector<LayerDescription> layers;
  layers.reserve(static_cast<size_t>(count));
  int next_conv = 0;
  for (int k = 0; k < count; ++k) {
    layers.push_back(read_layer(sections, k, next_conv));
    next_conv += conv_count(layers.back().kind);
  }
  for (ByteReader* section : {&sections.convs, &sections.strings, &sections.weights}) {
    section->set_place({});
    section->expect_end();
  }
  sections.layers.set_place({});
  check_names_differ(sections.layers, layers);
  return layers;
}

}  // namespace squish
