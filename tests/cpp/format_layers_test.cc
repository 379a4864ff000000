// Sections kLayers and kStrings: one test a rule of format/layout.h.
#include <gtest/gtest.h>

#include "format_file.h"
#include "golden_net.h"

namespace squish {
namespace {

using testing::Bytes;
using testing::FileParts;
using testing::golden_file;
using testing::rejects;

// Layers of the golden net.
constexpr size_t kConv1 = 0, kPool1 = 1, kFire2 = 2, kBypass3 = 4, kPool7 = 10;

// Positions in a record.
constexpr size_t kKindAt = 0, kFlagsAt = 1, kNameBytesAt = 2, kNameOffsetAt = 4, kInput0At = 8,
                 kInput1At = 10, kFirstConvAt = 12, kConvCountAt = 14, kReserved15At = 15, kWindowAt = 16,
                 kReserved24At = 24;

template <typename T>
FileParts golden_with(size_t layer, size_t at, T value) {
  FileParts file(golden_file());
  file.set_layer(layer, at, value);
  return file;
}

TEST(FormatLayers, RejectsASectionThatIsNoWholeNumberOfRecords) {
  FileParts file(golden_file());
  file[SectionKind::kLayers].push_back(0);
  EXPECT_TRUE(rejects(file, "section kLayers has 353 bytes, must be 1 to 4096 records of 32"));
}

TEST(FormatLayers, RejectsNoLayers) {
  FileParts file(golden_file());
  file[SectionKind::kLayers].clear();
  EXPECT_TRUE(rejects(file, "section kLayers has 0 bytes"));
}

TEST(FormatLayers, RejectsMoreThanTheLimit) {
  FileParts file(golden_file());
  file[SectionKind::kLayers].resize((kMaxLayers + 1) * kLayerRecordBytes);
  EXPECT_TRUE(rejects(file, "must be 1 to 4096 records"));
}

TEST(FormatLayers, RejectsUnknownKinds) {
  EXPECT_TRUE(rejects(golden_with(kConv1, kKindAt, uint8_t{0}), "layer 0: kind is 0, must be 1 to 5"));
  EXPECT_TRUE(rejects(golden_with(kConv1, kKindAt, uint8_t{6}), "layer 0: kind is 6, must be 1 to 5"));
}

TEST(FormatLayers, RejectsFlagsThatTheKindDoesNotHave) {
  EXPECT_TRUE(rejects(golden_with(kConv1, kFlagsAt, kFlagRelu), "layer 0: flags is 1, this kind allows 0"));
  EXPECT_TRUE(rejects(golden_with(kPool1, kFlagsAt, kFlagRelu), "layer 1: flags is 1, this kind allows 2"));
  EXPECT_TRUE(rejects(golden_with(kFire2, kFlagsAt, kFlagCeil), "layer 2: flags is 2, this kind allows 0"));
  EXPECT_TRUE(rejects(golden_with(kBypass3, kFlagsAt, kFlagCeil), "layer 4: flags is 2, this kind allows 1"));
  EXPECT_TRUE(rejects(golden_with(kBypass3, kFlagsAt, uint8_t{0x81}), "layer 4: flags is 129"));
  EXPECT_TRUE(rejects(golden_with(kPool7, kFlagsAt, kFlagCeil), "layer 10: flags is 2, this kind allows 0"));
}

TEST(FormatLayers, RejectsNameSizesOutOfRange) {
  EXPECT_TRUE(rejects(golden_with(kPool1, kNameBytesAt, uint16_t{0}), "name_bytes is 0, must be 1 to 255"));
  EXPECT_TRUE(
      rejects(golden_with(kPool1, kNameBytesAt, uint16_t{256}), "name_bytes is 256, must be 1 to 255"));
}

TEST(FormatLayers, RejectsNamesBeyondTheirSection) {
  EXPECT_TRUE(
      rejects(golden_with(kPool7, kNameBytesAt, uint16_t{6}), "name needs 6 bytes, section kStrings has 5"));
}

TEST(FormatLayers, RejectsNamesWithGapsOrOverlap) {
  for (uint32_t wrong : {0u, 4u, 6u, 0xFFFFFFFFu}) {  // conv1 ends at 5
    EXPECT_TRUE(rejects(golden_with(kPool1, kNameOffsetAt, wrong), "layer 1: name_offset is"));
  }
}

TEST(FormatLayers, RejectsStringsThatNobodyOwns) {
  FileParts file(golden_file());
  file[SectionKind::kStrings].push_back('x');
  EXPECT_TRUE(rejects(file, "section kStrings has 1 bytes too many"));
}

TEST(FormatLayers, RejectsNamesThatAreNotUtf8) {
  for (uint8_t bad : Bytes{0x00, 0x80, 0xFF}) {
    FileParts file(golden_file());
    file[SectionKind::kStrings][7] = bad;
    EXPECT_TRUE(rejects(file, "layer 1: name is not UTF-8 without NUL at its byte 2"));
  }
}

TEST(FormatLayers, RejectsTwoLayersWithOneName) {
  FileParts file(golden_file());
  file[SectionKind::kStrings][4 + 5] = '7';  // pool1 -> pool7
  EXPECT_TRUE(rejects(file, "layer 10 has the same name as layer 1: 'pool7'"));
}

TEST(FormatLayers, RejectsInputsThatDoNotComeBefore) {
  EXPECT_TRUE(rejects(golden_with(kConv1, kInput0At, uint16_t{1}), "layer 0 'conv1': input is 1"));
  EXPECT_TRUE(
      rejects(golden_with(kFire2, kInput0At, uint16_t{3}), "layer 2 'fire2': input is 3, must be 0 to 2"));
  EXPECT_TRUE(rejects(golden_with(kFire2, kInput0At, uint16_t{0xFFFF}), "input is 65535, must be 0 to 2"));
  EXPECT_TRUE(rejects(golden_with(kBypass3, kInput1At, uint16_t{5}), "input is 5, must be 0 to 4"));
}

TEST(FormatLayers, RejectsASecondInputOfOthersThanAdd) {
  EXPECT_TRUE(
      rejects(golden_with(kFire2, kInput1At, uint16_t{1}), "layer 2 'fire2': second input is 1, must be 0"));
}

TEST(FormatLayers, RejectsConvsThatAreNotTheNext) {
  EXPECT_TRUE(rejects(golden_with(kConv1, kFirstConvAt, uint16_t{1}), "first_conv is 1, must be 0"));
  EXPECT_TRUE(rejects(golden_with(kFire2, kFirstConvAt, uint16_t{0}), "first_conv is 0, must be 1"));
  EXPECT_TRUE(rejects(golden_with(kFire2, kFirstConvAt, uint16_t{0xFFFF}), "first_conv is 65535, must be 1"));
  EXPECT_TRUE(rejects(golden_with(kPool1, kFirstConvAt, uint16_t{1}), "first_conv is 1, must be 0"));
}

TEST(FormatLayers, RejectsConvCountsThatAreNotTheKinds) {
  EXPECT_TRUE(rejects(golden_with(kConv1, kConvCountAt, uint8_t{0}), "conv_count is 0, must be 1"));
  EXPECT_TRUE(rejects(golden_with(kFire2, kConvCountAt, uint8_t{2}), "conv_count is 2, must be 3"));
  EXPECT_TRUE(rejects(golden_with(kPool1, kConvCountAt, uint8_t{1}), "conv_count is 1, must be 0"));
}

TEST(FormatLayers, RejectsReservedBytesInUse) {
  EXPECT_TRUE(rejects(golden_with(kConv1, kReserved15At, uint8_t{1}), "reserved is 1, must be 0"));
  for (size_t k = 0; k < 8; ++k) {
    EXPECT_TRUE(rejects(golden_with(kPool1, kReserved24At + k, uint8_t{2}), "reserved is 2, must be 0"));
  }
}

TEST(FormatLayers, RejectsAWindowOfOthersThanPools) {
  for (size_t layer : {kConv1, kFire2, kBypass3, kPool7}) {
    for (size_t k = 0; k < 8; ++k) {
      EXPECT_TRUE(
          rejects(golden_with(layer, kWindowAt + k, uint8_t{1}), "window of a layer that has none is 1"));
    }
  }
}

TEST(FormatLayers, RejectsPoolWindowsOutOfRange) {
  const char* const names[] = {"kernel_h", "kernel_w", "stride_h",   "stride_w",
                               "pad_top",  "pad_left", "pad_bottom", "pad_right"};
  for (size_t k = 0; k < 8; ++k) {
    const uint8_t wrong = k < 4 ? 0 : 3;  // padding: the kernel is 3
    EXPECT_TRUE(
        rejects(golden_with(kPool1, kWindowAt + k, wrong), std::string("'pool1': ") + names[k] + " is "));
  }
}

TEST(FormatLayers, RejectsConvRecordsThatNobodyOwns) {
  FileParts file(golden_file());
  file[SectionKind::kConvs].resize(18 * kConvRecordBytes);
  EXPECT_TRUE(rejects(file, "section kConvs has 40 bytes too many"));
}

TEST(FormatLayers, RejectsConvRecordsThatAreMissing) {
  FileParts file(golden_file());
  file[SectionKind::kConvs].resize(16 * kConvRecordBytes);
  EXPECT_TRUE(
      rejects(file, "layer 9 'conv7': conv 0 (conv): out_channels needs 2 bytes, section kConvs has 0 left"));
}

}  // namespace
}  // namespace squish
