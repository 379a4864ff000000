#include "format/write.h"

#include "format/byte_writer.h"
#include "format/crc32.h"
#include "format/parse.h"
#include "format/parse_layers.h"
#include "squish/error.h"

namespace squish {
namespace {

void put_window(ByteWriter& out, const Window& w) {
  out.put_int<uint8_t>(w.kernel_h, "kernel_h");
  out.put_int<uint8_t>(w.kernel_w, "kernel_w");
  out.put_int<uint8_t>(w.stride_h, "stride_h");
  out.put_int<uint8_t>(w.stride_w, "stride_w");
  out.put_int<uint8_t>(w.pad_top, "pad_top");
  out.put_int<uint8_t>(w.pad_left, "pad_left");
  out.put_int<uint8_t>(w.pad_bottom, "pad_bottom");
  out.put_int<uint8_t>(w.pad_right, "pad_right");
}

void put_floats(ByteWriter& out, const std::vector<float>& values, int channels, const char* what) {
  if (values.size() != static_cast<size_t>(channels)) {
    throw InvalidArgument(
        concat("input: ", what, " has ", values.size(), " values for ", channels, " channels"));
  }
  for (float value : values) out.put(value);
}

ByteWriter input_section(const InputDescription& input) {
  ByteWriter out;
  out.set_place("input: ");
  out.put_int<uint16_t>(input.channels, "channels");
  out.put_int<uint16_t>(input.height, "height");
  out.put_int<uint16_t>(input.width, "width");
  out.put_int<uint16_t>(input.resize, "resize");
  out.put(static_cast<uint8_t>(input.interpolation));
  out.put_zeros(3);
  put_floats(out, input.mean, input.channels, "mean");
  put_floats(out, input.std, input.channels, "std");
  return out;
}

// The four sections that the layers fill side by side.
struct LayerWriters {
  ByteWriter strings, layers, convs, weights;
  int next_conv = 0;
};

// The payload's offset in kWeights.
size_t put_payload(ByteWriter& weights, const ConvDescription& conv) {
  if (conv.is_compressed()) {
    const size_t offset = weights.size();
    weights.put_bytes(conv.compressed);
    return offset;
  }
  weights.align(kPayloadAlignment);
  const size_t offset = weights.size();
  for (ByteSpan part : {conv.bias, conv.scale, conv.occupancy, conv.values}) {
    weights.align(kPartAlignment);
    weights.put_bytes(part);
  }
  return offset;
}

void put_conv(LayerWriters& out, const ConvDescription& conv) {
  const bool absent = conv.out_channels == 0;
  const size_t offset = absent ? 0 : put_payload(out.weights, conv);
  out.convs.put_int<uint16_t>(conv.out_channels, "out_channels");
  out.convs.put_int<uint16_t>(conv.in_channels, "in_channels");
  put_window(out.convs, conv.window);
  out.convs.put(conv.relu ? kFlagRelu : uint8_t{0});
  out.convs.put(static_cast<uint8_t>(conv.encoding));
  out.convs.put(static_cast<uint8_t>(conv.type));
  out.convs.put(static_cast<uint8_t>(conv.is_compressed() ? Compression::kAns : Compression::kNone));
  out.convs.put(conv.activation.scale);
  out.convs.put_int<uint8_t>(conv.activation.zero, "activation_zero");
  out.convs.put_zeros(3);
  out.convs.put(uint64_t{offset});
  out.convs.put(uint64_t{absent ? 0 : out.weights.size() - offset});
}

void put_inputs(ByteWriter& layers, const std::string& place, const LayerDescription& layer) {
  const auto want = static_cast<size_t>(input_count(layer.kind));
  if (layer.inputs.size() != want) {
    throw InvalidArgument(concat(place, "got ", layer.inputs.size(), " inputs, wanted ", want));
  }
  for (int input : layer.inputs) layers.put_int<uint16_t>(int64_t{input} + 1, "input + 1");
  if (want == 1) layers.put_zeros(sizeof(uint16_t));
}

void put_layer(LayerWriters& out, size_t index, const LayerDescription& layer) {
  const std::string place = concat("layer ", index, " '", layer.name, "': ");
  for (ByteWriter* writer : {&out.layers, &out.convs}) writer->set_place(place);
  ByteWriter& layers = out.layers;
  layers.put(static_cast<uint8_t>(layer.kind));
  layers.put(static_cast<uint8_t>((layer.relu ? kFlagRelu : 0) | (layer.ceil_mode ? kFlagCeil : 0)));
  layers.put_int<uint16_t>(static_cast<int64_t>(layer.name.size()), "length of the name");
  layers.put_int<uint32_t>(static_cast<int64_t>(out.strings.size()), "name_offset");
  out.strings.put_text(layer.name);
  put_inputs(layers, place, layer);
  layers.put_int<uint16_t>(layer.convs.empty() ? 0 : out.next_conv, "first_conv");
  layers.put_int<uint8_t>(static_cast<int64_t>(layer.convs.size()), "conv_count");
  layers.put_zeros(1);
  if (layer.kind == LayerKind::kMaxPool) {
    put_window(layers, layer.window);
  } else {
    layers.put_zeros(8);
  }
  layers.put_zeros(8);
  for (const ConvDescription& conv : layer.convs) put_conv(out, conv);
  out.next_conv += static_cast<int>(layer.convs.size());
}

ByteWriter labels_section(const std::vector<std::string>& labels) {
  ByteWriter out;
  out.set_place("labels: ");
  out.put_int<uint32_t>(static_cast<int64_t>(labels.size()), "count");
  for (const std::string& label : labels) out.put_int<uint32_t>(static_cast<int64_t>(label.size()), "bytes");
  for (const std::string& label : labels) out.put_text(label);
  return out;
}

ByteWriter about_section(const std::string& about) {
  ByteWriter out;
  out.put_text(about);
  return out;
}

struct SectionContents {
  SectionKind kind;
  ByteWriter contents;
};

// In ascending order of their kinds.
std::vector<SectionContents> sections_of(const NetDescription& net) {
  LayerWriters out;
  for (size_t k = 0; k < net.layers.size(); ++k) put_layer(out, k, net.layers[k]);
  std::vector<SectionContents> sections;
  sections.push_back({SectionKind::kInput, input_section(net.input)});
  sections.push_back({SectionKind::kStrings, std::move(out.strings)});
  sections.push_back({SectionKind::kLayers, std::move(out.layers)});
  sections.push_back({SectionKind::kConvs, std::move(out.convs)});
  sections.push_back({SectionKind::kWeights, std::move(out.weights)});
  if (!net.labels.empty()) sections.push_back({SectionKind::kLabels, labels_section(net.labels)});
  if (!net.about.empty()) sections.push_back({SectionKind::kAbout, about_section(net.about)});
  return sections;
}

std::vector<uint8_t> assemble(const std::vector<SectionContents>& sections) {
  constexpr size_t kCrcPosition = 12, kFileBytesPosition = 16;
  ByteWriter file;
  file.put_bytes({kMagic, sizeof kMagic});
  file.put(kFormatVersion);
  file.put_zeros(sizeof(uint32_t) + sizeof(uint64_t));  // header_crc and file_bytes, known at the end
  file.put(static_cast<uint32_t>(sections.size()));
  file.put_zeros(sizeof(uint32_t));
  const size_t table = file.size(), table_end = table + sections.size() * kSectionEntryBytes;
  file.put_zeros(table_end - table);
  for (size_t k = 0; k < sections.size(); ++k) {
    const ByteSpan contents = sections[k].contents.span();
    file.align(kSectionAlignment);
    const size_t entry = table + k * kSectionEntryBytes;
    file.set(entry, static_cast<uint32_t>(sections[k].kind));
    file.set(entry + 4, crc32(contents));
    file.set(entry + 8, uint64_t{file.size()});
    file.set(entry + 16, uint64_t{contents.size});
    file.put_bytes(contents);
  }
  file.set(kFileBytesPosition, uint64_t{file.size()});
  file.set(kCrcPosition, crc32({file.span().data, table_end}));
  return file.take();
}

bool is_written_as(ByteSpan part, ByteSpan wanted, bool compressed) {
  if (part.size != wanted.size) return false;
  return !compressed || part.size == 0 || std::memcmp(part.data, wanted.data, part.size) == 0;
}

// A part of the wrong size could still make bytes that parse, as something else. So could a compressed payload that is
// another one's.
void check_parts(const NetDescription& want, const NetDescription& got) {
  for (size_t k = 0; k < want.layers.size(); ++k) {
    for (size_t c = 0; c < want.layers[k].convs.size(); ++c) {
      const ConvDescription &w = want.layers[k].convs[c], &g = got.layers[k].convs[c];
      const bool compressed = w.is_compressed();
      if (is_written_as(g.bias, w.bias, compressed) && is_written_as(g.scale, w.scale, compressed) &&
          is_written_as(g.occupancy, w.occupancy, compressed) &&
          is_written_as(g.values, w.values, compressed)) {
        continue;
      }
      throw InvalidArgument(concat(
          "layer ", k, " '", want.layers[k].name, "': conv ", c, ": the parts of its payload ",
          compressed ? "are not those that are compressed" : "do not have the sizes that its shape implies"));
    }
  }
}

}  // namespace

std::vector<uint8_t> write(const NetDescription& net) {
  std::vector<uint8_t> file = assemble(sections_of(net));
  // The rules stand in one place, the parser: what it refuses is not handed out.
  try {
    check_parts(net, parse({file.data(), file.size()}));
  } catch (const FormatError& error) {
    throw InvalidArgument(concat("cannot write this net: ", error.what()));
  }
  return file;
}

}  // namespace squish
