#include "format/parse.h"

#include <utility>

#include "format/container.h"
#include "format/parse_layers.h"

namespace squish {
namespace {

std::vector<float> read_channel_floats(ByteReader& input, int channels, const char* field, float low,
                                       float high) {
  std::vector<float> values(static_cast<size_t>(channels));
  for (float& value : values) {
    value = input.read<float>(field);
    if (value >= low && value <= high) continue;
    input.fail(concat(field, " is ", value, ", must be from ", low, " to ", high));
  }
  return values;
}

InputDescription parse_input(ByteReader input) {
  InputDescription description;
  input.set_place("input");
  description.channels = input.read_int<uint16_t>("channels", 1, kMaxInputChannels);
  description.height = input.read_int<uint16_t>("height", 1, UINT16_MAX);
  description.width = input.read_int<uint16_t>("width", 1, UINT16_MAX);
  description.resize = input.read_int<uint16_t>("resize", 0, UINT16_MAX);
  description.interpolation = static_cast<Interpolation>(
      input.read_int<uint8_t>("interpolation", 0, static_cast<int>(Interpolation::kBicubic)));
  input.skip_zeros(3, "reserved");
  description.mean = read_channel_floats(input, description.channels, "mean", -kMaxMean, kMaxMean);
  description.std = read_channel_floats(input, description.channels, "std", kMinStd, kMaxStd);
  input.expect_end();
  return description;
}

std::vector<std::string> parse_labels(ByteReader section) {
  section.set_place("labels");
  const uint32_t count = section.read<uint32_t>("count");
  if (count == 0) section.fail("count is 0, a net without labels has no section kLabels");
  ByteReader sizes = section.take_part(uint64_t{count} * sizeof(uint32_t), "sizes of the names");
  std::vector<std::string> labels;
  labels.reserve(count);
  for (uint32_t k = 0; k < count; ++k) {
    section.set_place("label " + std::to_string(k));
    labels.push_back(section.take_text(sizes.read<uint32_t>("bytes"), "name"));
  }
  section.set_place("labels");
  section.expect_end();
  return labels;
}

std::string parse_about(ByteReader about) {
  if (about.left() == 0) about.fail("section kAbout is empty, a net without a text has no such section");
  return about.take_text(about.left(), "text");
}

}  // namespace

NetDescription parse(ByteSpan file, bool verify_checksums) {
  std::vector<Section> sections = read_sections(file, verify_checksums);
  const auto section = [&](SectionKind kind) { return *find_section(sections, kind); };

  NetDescription net;
  net.input = parse_input(section(SectionKind::kInput));
  net.layers = parse_layers({section(SectionKind::kLayers), section(SectionKind::kConvs),
                             section(SectionKind::kStrings), section(SectionKind::kWeights)});
  if (const ByteReader* labels = find_section(sections, SectionKind::kLabels))
    net.labels = parse_labels(*labels);
  if (const ByteReader* about = find_section(sections, SectionKind::kAbout)) net.about = parse_about(*about);
  return net;
}

}  // namespace squish
