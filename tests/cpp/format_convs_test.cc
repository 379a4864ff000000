// Sections kConvs and kWeights: one test a rule of format/layout.h.
#include <gtest/gtest.h>

#include <limits>

#include "format_file.h"
#include "golden_net.h"

namespace squish {
namespace {

using testing::Bytes;
using testing::FileParts;
using testing::golden_file;
using testing::golden_int4_file;
using testing::rejects;

// Conv records of the golden net, by what is in their payload.
constexpr size_t kDenseF32 = 0, kDenseF16 = 1, kDenseI8 = 2, kCluster16x1F32 = 3, kCluster16x1F16 = 4,
                 kCluster16x4F32 = 6, kAbsentExpand3x3 = 12, kPresentExpand3x3 = 15, kLast = 16;

// Conv record of the int4 golden net: 65 x 3 of 3x3. Biases and scales are 65 halves and 2 bytes of padding each.
constexpr size_t kDenseI4 = 0, kDenseI4Scale = 132, kDenseI4Values = 264, kDenseI4Count = 1755;

// Positions in a record.
constexpr size_t kOutAt = 0, kInAt = 2, kWindowAt = 4, kFlagsAt = 12, kEncodingAt = 13, kTypeAt = 14,
                 kActivationScaleAt = 16, kActivationZeroAt = 20, kReserved21At = 21, kOffsetAt = 24,
                 kBytesAt = 32;

using Halves = std::vector<uint16_t>;
const Halves kNotFinite = {0x7C00, 0xFC00, 0x7C01, 0x7E00, 0xFFFF};
constexpr uint16_t kLargestHalf = 0x7BFF;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

template <typename T>
FileParts golden_with(size_t conv, size_t at, T value) {
  FileParts file(golden_file());
  file.set_conv(conv, at, value);
  return file;
}

// `at` counts from the beginning of the conv's payload.
template <typename T>
FileParts golden_with_payload(size_t conv, size_t at, T value, const Bytes& golden = golden_file()) {
  FileParts file(golden);
  const auto offset = static_cast<size_t>(file.conv<uint64_t>(conv, kOffsetAt));
  testing::set(file[SectionKind::kWeights], offset + at, value);
  return file;
}

size_t outputs(size_t conv) { return FileParts(golden_file()).conv<uint16_t>(conv, kOutAt); }

// Bytes of biases or scales with the padding behind them: f16, but f32 where the weights are.
size_t channel_part(size_t conv) {
  const bool f32 = FileParts(golden_file()).conv<uint8_t>(conv, kTypeAt) == 0;
  return (outputs(conv) * (f32 ? 4 : 2) + 3) / 4 * 4;
}

TEST(FormatConvs, RejectsNoOutputs) {
  EXPECT_TRUE(rejects(golden_with(kDenseF32, kOutAt, uint16_t{0}),
                      "layer 0 'conv1': conv 0 (conv): out_channels is 0, must be 1 to 65535"));
  EXPECT_TRUE(rejects(golden_with(kDenseF16, kOutAt, uint16_t{0}),
                      "layer 2 'fire2': conv 0 (squeeze): out_channels is 0, must be 1 to 65535"));
}

TEST(FormatConvs, RejectsAFireWithoutExpands) {
  EXPECT_TRUE(rejects(golden_with(kPresentExpand3x3, kOutAt, uint16_t{0}),
                      "layer 8 'fire6': conv 2 (expand3x3): out_channels is 0, must be 1 to 65535"));
}

TEST(FormatConvs, RejectsNoInputs) {
  EXPECT_TRUE(rejects(golden_with(kDenseF32, kInAt, uint16_t{0}), "in_channels is 0, must be 1 to 65535"));
  EXPECT_TRUE(rejects(golden_with(kAbsentExpand3x3, kInAt, uint16_t{0}), "in_channels is 0"));
}

TEST(FormatConvs, RejectsAnAbsentConvWithAnythingInIt) {
  const char* const place = "layer 6 'fire5': conv 2 (expand3x3): ";
  const auto expect = [&](const FileParts& file, const char* word) {
    EXPECT_TRUE(rejects(file, std::string(place) + word));
  };
  expect(golden_with(kAbsentExpand3x3, kEncodingAt, uint8_t{1}), "encoding is 1, must be 0");
  expect(golden_with(kAbsentExpand3x3, kTypeAt, uint8_t{2}), "type is 2, must be 0");
  expect(golden_with(kAbsentExpand3x3, kActivationScaleAt, 0.5f), "activation_scale is 0.5");
  expect(golden_with(kAbsentExpand3x3, kOffsetAt, uint64_t{16}), "payload_offset is 16, must be 0");
  expect(golden_with(kAbsentExpand3x3, kBytesAt, uint64_t{16}), "payload_bytes is 16, must be 0");
}

TEST(FormatConvs, RejectsWindowsOutOfRange) {
  const char* const names[] = {"kernel_h", "kernel_w", "stride_h",   "stride_w",
                               "pad_top",  "pad_left", "pad_bottom", "pad_right"};
  for (size_t k = 0; k < 8; ++k) {
    const uint8_t wrong = k < 4 ? 0 : 3;  // padding: the kernel is 3
    EXPECT_TRUE(rejects(golden_with(kDenseF32, kWindowAt + k, wrong), std::string(names[k]) + " is "));
  }
}

TEST(FormatConvs, RejectsUnknownFlagsEncodingsAndTypes) {
  EXPECT_TRUE(rejects(golden_with(kDenseF32, kFlagsAt, kFlagCeil), "flags is 2, must be 0 to 1"));
  EXPECT_TRUE(rejects(golden_with(kDenseF32, kEncodingAt, uint8_t{4}), "encoding is 4, must be 0 to 3"));
  EXPECT_TRUE(rejects(golden_with(kDenseF32, kTypeAt, uint8_t{4}), "type is 4, must be 0 to 3"));
}

TEST(FormatConvs, RejectsReservedBytesInUse) {
  EXPECT_TRUE(rejects(golden_with(kDenseF32, kReserved21At, uint8_t{1}), "reserved is 1, must be 0"));
}

TEST(FormatConvs, RejectsActivationScalesThatAreNone) {
  for (float wrong : {kNan, kInf, -kInf, -1.0f, 0x1p-41f, 0x1p41f}) {
    EXPECT_TRUE(rejects(golden_with(kDenseF32, kActivationScaleAt, wrong), "activation_scale is "));
  }
  EXPECT_TRUE(
      rejects(golden_with(kDenseF32, kActivationZeroAt, uint8_t{1}), "activation_zero is 1, must be 0"));
}

TEST(FormatConvs, RejectsPayloadsOffTheirPlace) {
  const uint64_t right = FileParts(golden_file()).conv<uint64_t>(kDenseF16, kOffsetAt);
  for (uint64_t wrong : {uint64_t{0}, right - 16, right + 16, right + 1, ~uint64_t{0}, ~uint64_t{15}}) {
    EXPECT_TRUE(rejects(golden_with(kDenseF16, kOffsetAt, wrong),
                        "payload_offset is " + std::to_string(wrong) + ", must be " + std::to_string(right)));
  }
}

TEST(FormatConvs, RejectsPayloadsBeyondTheirSection) {
  FileParts file(golden_file());
  const uint64_t left = file[SectionKind::kWeights].size() - file.conv<uint64_t>(kLast, kOffsetAt);
  for (uint64_t bytes : {left + 1, uint64_t{1} << 40, ~uint64_t{0}}) {
    EXPECT_TRUE(rejects(golden_with(kLast, kBytesAt, bytes),
                        "layer 9 'conv7': conv 0 (conv): payload needs " + std::to_string(bytes) +
                            " bytes, section kWeights has " + std::to_string(left) + " left"));
  }
}

TEST(FormatConvs, RejectsPayloadsOfAnotherSizeThanTheFieldsImply) {
  for (size_t conv : {kDenseF32, kDenseI8, kCluster16x1F16, kCluster16x4F32}) {
    const uint64_t right = FileParts(golden_file()).conv<uint64_t>(conv, kBytesAt);
    EXPECT_TRUE(rejects(golden_with(conv, kBytesAt, right - 1), " bytes, payload has "));
    EXPECT_TRUE(rejects(golden_with(conv, kBytesAt, right + 1), "payload has 1 bytes too many"));
  }
}

TEST(FormatConvs, RejectsPayloadsOfAnotherSizeThanInt4ValuesNeed) {
  FileParts file(golden_int4_file());
  const uint64_t right = file.conv<uint64_t>(kDenseI4, kBytesAt);
  EXPECT_EQ(right, kDenseI4Values + (kDenseI4Count + 1) / 2);
  file.set_conv(kDenseI4, kBytesAt, right - 1);
  EXPECT_TRUE(rejects(file, "values needs 878 bytes, payload has 877 left"));
  file.set_conv(kDenseI4, kBytesAt, right + 1);
  EXPECT_TRUE(rejects(file, "payload has 1 bytes too many"));
}

TEST(FormatConvs, RejectsShapesBeyondThePayload) {
  const uint64_t weights = uint64_t{17} * 65535 * 255 * 255;
  FileParts file(golden_file());
  file.set_conv(kDenseF32, kOutAt, uint16_t{17});
  file.set_conv(kDenseF32, kInAt, uint16_t{65535});
  file.set_conv(kDenseF32, kWindowAt, uint16_t{0xFFFF});
  EXPECT_TRUE(rejects(file, "values needs " + std::to_string(weights * 4) + " bytes, payload has 1836 left"));
  file.set_conv(kDenseF32, kOutAt, uint16_t{65535});
  EXPECT_TRUE(rejects(file, "bias needs 262140 bytes, payload has 1904 left"));
  file.set_conv(kDenseF32, kEncodingAt, WeightEncoding::kSynapse);
  file.set_conv(kDenseF32, kOutAt, uint16_t{17});
  EXPECT_TRUE(rejects(
      file, "occupancy needs " + std::to_string((weights + 7) / 8) + " bytes, payload has 1836 left"));
}

TEST(FormatConvs, RejectsPaddingThatIsNotZero) {
  FileParts file(golden_file());
  const uint64_t end = file.conv<uint64_t>(kDenseF16, kOffsetAt) + file.conv<uint64_t>(kDenseF16, kBytesAt);
  ASSERT_NE(end % kPayloadAlignment, 0u);
  file[SectionKind::kWeights][static_cast<size_t>(end)] = 1;
  EXPECT_TRUE(rejects(file, "padding is 1, must be 0"));
}

TEST(FormatConvs, RejectsPartPaddingThatIsNotZero) {
  // 17 x 6 of 3x3: 2 * 2 * 9 = 36 clusters of 16x4, 5 bytes, then 3 of padding.
  const size_t occupancy = channel_part(kCluster16x4F32);
  EXPECT_TRUE(
      rejects(golden_with_payload(kCluster16x4F32, occupancy + 7, uint8_t{1}), "padding is 1, must be 0"));
  // 7 halves of bias, 2 bytes of padding, 7 halves of scale, 2 bytes of padding.
  ASSERT_EQ(outputs(kDenseI8), 7u);
  for (size_t at : {14u, 15u, 30u, 31u}) {
    EXPECT_TRUE(rejects(golden_with_payload(kDenseI8, at, uint8_t{1}), "padding is 1, must be 0")) << at;
  }
}

TEST(FormatConvs, RejectsWeightsThatNobodyOwns) {
  FileParts file(golden_file());
  file[SectionKind::kWeights].push_back(0);
  EXPECT_TRUE(rejects(file, "section kWeights has 1 bytes too many"));
}

TEST(FormatConvs, RejectsBiasesThatAreNotFinite) {
  for (float bad : {kNan, kInf, -kInf}) {
    EXPECT_TRUE(
        rejects(golden_with_payload(kDenseF32, 8, bad), "layer 0 'conv1': conv 0 (conv): bias 2 is "));
  }
  for (uint16_t bad : kNotFinite) {
    EXPECT_TRUE(
        rejects(golden_with_payload(kDenseF16, 4, bad), "layer 2 'fire2': conv 0 (squeeze): bias 2 is "));
    EXPECT_TRUE(
        rejects(golden_with_payload(kDenseI8, 4, bad), "layer 2 'fire2': conv 1 (expand1x1): bias 2 is "));
  }
  EXPECT_EQ(testing::load_error(golden_with_payload(kDenseI8, 4, kLargestHalf).assemble(), true), "");
}

TEST(FormatConvs, RejectsScalesOutOfRange) {
  const size_t scale = channel_part(kDenseI8);
  constexpr uint16_t kLeastNegative = 0x8001, kMinusOne = 0xBC00;
  Halves wrong = kNotFinite;
  wrong.insert(wrong.end(), {kLeastNegative, kMinusOne});
  for (uint16_t bad : wrong) {
    EXPECT_TRUE(rejects(golden_with_payload(kDenseI8, scale + 2, bad), "scale 1 is ")) << bad;
  }
  EXPECT_EQ(testing::load_error(golden_with_payload(kDenseI8, scale + 2, kLargestHalf).assemble(), true), "");
}

TEST(FormatConvs, RejectsInt4ScalesOutOfRange) {
  constexpr uint16_t kMinusOne = 0xBC00;
  EXPECT_TRUE(rejects(golden_with_payload(kDenseI4, kDenseI4Scale + 2, kMinusOne, golden_int4_file()),
                      "scale 1 is -1, must be from 0 to 65504"));
}

TEST(FormatConvs, RejectsF32ValuesThatAreNotFinite) {
  const size_t values = channel_part(kDenseF32);
  for (float bad : {kNan, kInf, -kInf}) {
    EXPECT_TRUE(rejects(golden_with_payload(kDenseF32, values + 12, bad), "conv 0 (conv): value 3 is "));
  }
}

TEST(FormatConvs, RejectsF16ValuesThatAreNotFinite) {
  const size_t values = channel_part(kDenseF16);
  for (uint16_t bad : kNotFinite) {
    EXPECT_TRUE(rejects(golden_with_payload(kDenseF16, values + 6, bad), "conv 0 (squeeze): value 3 is "));
  }
  EXPECT_EQ(testing::load_error(golden_with_payload(kDenseF16, values + 6, kLargestHalf).assemble(), true),
            "");
}

TEST(FormatConvs, RejectsTheInt8ThatHasNoAbsoluteValue) {
  const size_t values = 2 * channel_part(kDenseI8);
  EXPECT_TRUE(rejects(golden_with_payload(kDenseI8, values + 5, int8_t{-128}),
                      "value 5 is -128, must be -127 to 127"));
}

TEST(FormatConvs, RejectsTheInt4BeyondTheSymmetricRange) {
  const std::string place = "layer 0 'conv1': conv 0 (conv): ";
  const auto with = [](uint8_t values) {
    return golden_with_payload(kDenseI4, kDenseI4Values + 2, values, golden_int4_file());
  };
  EXPECT_TRUE(rejects(with(0x08), place + "value 4 is -8, must be -7 to 7"));
  EXPECT_TRUE(rejects(with(0x80), place + "value 5 is -8, must be -7 to 7"));
  EXPECT_EQ(testing::load_error(with(0x97).assemble(), true), "");
}

TEST(FormatConvs, RejectsSpareInt4Nibbles) {
  const FileParts golden{golden_int4_file()};
  for (int spare = 1; spare < 16; ++spare) {
    FileParts file = golden;
    const size_t last = static_cast<size_t>(file.conv<uint64_t>(kDenseI4, kOffsetAt)) + kDenseI4Values + 877;
    uint8_t& byte = file[SectionKind::kWeights][last];
    byte = static_cast<uint8_t>(byte | spare << 4);
    EXPECT_TRUE(rejects(file, "layer 0 'conv1': conv 0 (conv): spare nibble of the values' last byte is " +
                                  std::to_string(spare) + ", must be 0, there are 1755 values"));
  }
}

TEST(FormatConvs, RejectsSpareOccupancyBits) {
  // 18 x 5 of 3x3: 2 * 5 * 9 = 90 clusters of 16x1, 12 bytes, 6 spare bits.
  const size_t last_byte = channel_part(kCluster16x1F32) + 11;
  const FileParts golden{golden_file()};
  for (int bit = 2; bit < 8; ++bit) {
    FileParts file = golden;
    Bytes& weights = file[SectionKind::kWeights];
    const size_t at = static_cast<size_t>(file.conv<uint64_t>(kCluster16x1F32, kOffsetAt)) + last_byte;
    weights[at] = static_cast<uint8_t>(weights[at] | 1 << bit);
    EXPECT_TRUE(rejects(file, "spare bits of the occupancy's last byte must be 0, there are 90 clusters"))
        << bit;
  }
}

TEST(FormatConvs, RejectsAnOccupancyWhosePopulationIsNotThatOfTheValues) {
  const size_t occupancy = channel_part(kCluster16x1F32);
  for (int bit = 0; bit < 90; ++bit) {
    FileParts file(golden_file());
    Bytes& weights = file[SectionKind::kWeights];
    const size_t at = static_cast<size_t>(file.conv<uint64_t>(kCluster16x1F32, kOffsetAt)) + occupancy +
                      static_cast<size_t>(bit / 8);
    const bool lived = (weights[at] >> (bit % 8) & 1) != 0;
    weights[at] = static_cast<uint8_t>(weights[at] ^ 1 << (bit % 8));
    EXPECT_TRUE(rejects(file, lived ? "bytes too many" : "values needs")) << bit;
  }
}

}  // namespace
}  // namespace squish
