// Sections kInput, kLabels and kAbout: one test a rule of format/layout.h.
#include <gtest/gtest.h>

#include <limits>

#include "format_file.h"
#include "golden_net.h"

namespace squish {
namespace {

using testing::FileParts;
using testing::golden_file;
using testing::rejects;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

template <typename T>
FileParts golden_with(SectionKind section, size_t at, T value) {
  FileParts file(golden_file());
  testing::set(file[section], at, value);
  return file;
}

TEST(FormatInput, RejectsChannelsOutOfRange) {
  EXPECT_TRUE(
      rejects(golden_with(SectionKind::kInput, 0, uint16_t{0}), "input: channels is 0, must be 1 to 4"));
  EXPECT_TRUE(
      rejects(golden_with(SectionKind::kInput, 0, uint16_t{5}), "input: channels is 5, must be 1 to 4"));
}

TEST(FormatInput, RejectsAnEmptyImage) {
  EXPECT_TRUE(rejects(golden_with(SectionKind::kInput, 2, uint16_t{0}), "height is 0, must be 1 to 65535"));
  EXPECT_TRUE(rejects(golden_with(SectionKind::kInput, 4, uint16_t{0}), "width is 0, must be 1 to 65535"));
}

TEST(FormatInput, RejectsAnUnknownInterpolation) {
  EXPECT_TRUE(rejects(golden_with(SectionKind::kInput, 8, uint8_t{3}), "interpolation is 3, must be 0 to 2"));
}

TEST(FormatInput, RejectsReservedBytesInUse) {
  for (size_t k = 9; k < 12; ++k) {
    EXPECT_TRUE(rejects(golden_with(SectionKind::kInput, k, uint8_t{1}), "reserved is 1, must be 0"));
  }
}

TEST(FormatInput, RejectsMeansOutOfRange) {
  for (float bad : {kNan, kInf, -kInf, 0x1.000002p60f, -0x1.000002p60f, 3e38f}) {
    EXPECT_TRUE(rejects(golden_with(SectionKind::kInput, 16, bad), "mean is "));
  }
}

TEST(FormatInput, RejectsDeviationsThatCannotDivide) {
  for (float bad : {kNan, kInf, 0.0f, -0.0f, -1.0f, 1e-45f, 0x1.fffffep-61f, 0x1.000002p60f}) {
    EXPECT_TRUE(rejects(golden_with(SectionKind::kInput, 32, bad), "std is "));
  }
}

TEST(FormatInput, AdmitsTheWidestMeansAndDeviations) {
  for (float mean : {-kMaxMean, kMaxMean}) {
    EXPECT_EQ(testing::load_error(golden_with(SectionKind::kInput, 16, mean).assemble(), true), "");
  }
  for (float std : {kMinStd, kMaxStd}) {
    EXPECT_EQ(testing::load_error(golden_with(SectionKind::kInput, 32, std).assemble(), true), "");
  }
}

TEST(FormatInput, RejectsASectionOfTheWrongSize) {
  FileParts file(golden_file());
  file[SectionKind::kInput].push_back(0);
  EXPECT_TRUE(rejects(file, "section kInput has 1 bytes too many"));
  file[SectionKind::kInput].resize(35);
  EXPECT_TRUE(rejects(file, "std needs 4 bytes, section kInput has 3 left"));
}

TEST(FormatLabels, RejectsNoLabels) {
  FileParts file(golden_file());
  file[SectionKind::kLabels].assign(4, 0);
  EXPECT_TRUE(rejects(file, "count is 0"));
  file[SectionKind::kLabels].clear();
  EXPECT_TRUE(rejects(file, "labels: count needs 4 bytes, section kLabels has 0 left"));
}

TEST(FormatLabels, RejectsCountsBeyondTheSection) {
  for (uint32_t count : {30u, 0x40000000u, 0xFFFFFFFFu}) {
    EXPECT_TRUE(rejects(golden_with(SectionKind::kLabels, 0, count),
                        "sizes of the names needs " + std::to_string(uint64_t{count} * 4) + " bytes"));
  }
}

TEST(FormatLabels, RejectsNamesBeyondTheSection) {
  EXPECT_TRUE(
      rejects(golden_with(SectionKind::kLabels, 4 + 9 * 4, uint32_t{6}), "label 9: name needs 6 bytes"));
  EXPECT_TRUE(
      rejects(golden_with(SectionKind::kLabels, 4, ~uint32_t{0}), "label 0: name needs 4294967295 bytes"));
}

TEST(FormatLabels, RejectsBytesBehindTheNames) {
  EXPECT_TRUE(
      rejects(golden_with(SectionKind::kLabels, 4 + 9 * 4, uint32_t{4}), "kLabels has 1 bytes too many"));
}

TEST(FormatLabels, RejectsNamesThatAreNotUtf8) {
  for (uint8_t bad : testing::Bytes{0x00, 0xC3, 0xFF}) {
    EXPECT_TRUE(rejects(golden_with(SectionKind::kLabels, 4 + 10 * 4, bad), "label 0: name is not UTF-8"));
  }
}

TEST(FormatAbout, RejectsTextThatIsNotUtf8) {
  EXPECT_TRUE(rejects(golden_with(SectionKind::kAbout, 3, uint8_t{0xFF}), "text is not UTF-8"));
}

TEST(FormatAbout, RejectsNoText) {
  FileParts file(golden_file());
  file[SectionKind::kAbout].clear();
  EXPECT_TRUE(rejects(file, "section kAbout is empty"));
}

}  // namespace
}  // namespace squish
