// Header and section table: one test a rule of format/layout.h.
#include <gtest/gtest.h>

#include "format/parse.h"
#include "format_file.h"
#include "golden_net.h"

namespace squish {
namespace {

using testing::Bytes;
using testing::entry_at;
using testing::FileParts;
using testing::golden_file;
using testing::rejects;
using testing::set;

constexpr size_t kKindAt = 0, kOffsetAt = 8, kBytesAt = 16;

// The golden file with one field changed and the checksums right.
template <typename T>
Bytes golden_with(size_t at, T value) {
  Bytes file = golden_file();
  set(file, at, value);
  testing::repair_checksums(file);
  return file;
}

TEST(FormatHeader, RejectsAnEmptyFile) {
  EXPECT_TRUE(rejects(Bytes{}, "magic needs 8 bytes, file has 0 left"));
}

TEST(FormatHeader, RejectsAnotherKindOfFile) {
  const std::string text = "PK\x03\x04 something else, but long enough to have a header";
  EXPECT_TRUE(rejects(Bytes(text.begin(), text.end()), "not a .squish file"));
}

TEST(FormatHeader, RejectsEachByteOfTheMagicChanged) {
  for (size_t k = 0; k < sizeof kMagic; ++k) {
    EXPECT_TRUE(rejects(golden_with(k, static_cast<uint8_t>(kMagic[k] ^ 0x80)), "not a .squish file")) << k;
  }
}

TEST(FormatHeader, RefusesALaterVersionAndNamesBoth) {
  EXPECT_TRUE(rejects(golden_with(8, uint32_t{7}), "file has version 7, this library reads version 1"));
  EXPECT_TRUE(rejects(golden_with(8, uint32_t{0}), "file has version 0, this library reads version 1"));
}

// Its header may have another shape: nothing else can be said about it.
TEST(FormatHeader, NamesTheVersionEvenWhenNothingElseFits) {
  Bytes file = golden_file();
  file.resize(12);
  set(file, 8, uint32_t{2});
  EXPECT_TRUE(rejects(file, "file has version 2, this library reads version 1"));
}

TEST(FormatHeader, RejectsAWrongHeaderChecksum) {
  Bytes file = golden_file();
  file[12] ^= 1;
  EXPECT_TRUE(rejects(file, "header or section table is damaged"));
}

TEST(FormatHeader, RejectsADamagedSectionTable) {
  Bytes file = golden_file();
  file[entry_at(2) + 4] ^= 1;  // a section's CRC
  EXPECT_TRUE(rejects(file, "header or section table is damaged"));
}

TEST(FormatHeader, SaysThatATruncatedFileIsTruncated) {
  Bytes file = golden_file();
  file.resize(file.size() - 100);
  EXPECT_TRUE(rejects(file, "file is truncated"));
}

TEST(FormatHeader, RejectsBytesBehindTheEnd) {
  Bytes file = golden_file();
  file.push_back(0);
  EXPECT_TRUE(rejects(file, "its header says"));
  set(file, 16, uint64_t{file.size()});
  testing::repair_checksums(file);
  EXPECT_TRUE(rejects(file, "file has 1 bytes too many"));
}

TEST(FormatHeader, RejectsSectionCountsOutOfRange) {
  for (uint32_t count : {0u, 65u, 0xFFFFFFFFu}) {
    Bytes file = golden_file();
    set(file, 24, count);
    EXPECT_TRUE(rejects(file, "section_count is " + std::to_string(count) + ", must be 1 to 64"));
  }
}

TEST(FormatHeader, RejectsASectionTableBeyondTheFile) {
  Bytes file = golden_file();
  file.resize(60);
  set(file, 16, uint64_t{60});
  EXPECT_TRUE(rejects(file, "section table needs 168 bytes, file has 28 left"));
}

TEST(FormatHeader, RejectsAReservedFieldInUse) {
  EXPECT_TRUE(rejects(golden_with(28, uint32_t{1}), "reserved is 1, must be 0 (offset 0x1c)"));
}

TEST(FormatSections, RejectsADamagedSection) {
  FileParts parts(golden_file());
  Bytes file = parts.assemble();
  for (size_t k = 0; k < parts.sections.size(); ++k) {
    Bytes damaged = file;
    damaged[static_cast<size_t>(testing::get<uint64_t>(file, entry_at(k) + kOffsetAt))] ^= 0x10;
    EXPECT_TRUE(rejects(damaged, "is damaged: its CRC-32 is")) << k;
  }
}

TEST(FormatSections, RejectsEachRequiredSectionMissing) {
  const struct {
    SectionKind kind;
    const char* word;
  } cases[] = {{SectionKind::kInput, "section kInput is missing"},
               {SectionKind::kStrings, "section kStrings is missing"},
               {SectionKind::kLayers, "section kLayers is missing"},
               {SectionKind::kConvs, "section kConvs is missing"},
               {SectionKind::kWeights, "section kWeights is missing"}};
  for (const auto& c : cases) {
    FileParts file(golden_file());
    file.erase(c.kind);
    EXPECT_TRUE(rejects(file, c.word));
  }
}

TEST(FormatSections, LoadsWithoutTheOptionalOnes) {
  FileParts file(golden_file());
  file.erase(SectionKind::kLabels);
  file.erase(SectionKind::kAbout);
  EXPECT_EQ(testing::load_error(file.assemble(), true), "");
}

TEST(FormatSections, RejectsAKindTwice) {
  FileParts file(golden_file());
  file.sections.insert(file.sections.begin(), file.sections.front());
  EXPECT_TRUE(rejects(file, "section 1: kind is 0x1, must be above 0x1"));
}

TEST(FormatSections, RejectsDescendingKinds) {
  FileParts file(golden_file());
  std::swap(file.sections[1], file.sections[2]);
  EXPECT_TRUE(rejects(file, "section 2: kind is 0x2, must be above 0x3"));
}

TEST(FormatSections, RejectsAnUnknownKind) {
  for (uint32_t kind : {0u, 6u, 0x7FFFFFFFu}) {
    FileParts file(golden_file());
    file.sections.insert(kind == 0 ? file.sections.begin() : file.sections.begin() + 5,
                         {kind, Bytes{1, 2, 3}});
    EXPECT_TRUE(rejects(file, "kind " + std::to_string(kind) + " is unknown")) << kind;
  }
}

TEST(FormatSections, SkipsAnUnknownOptionalKindButChecksItsBytes) {
  FileParts parts(golden_file());
  parts.sections.push_back({99 | kOptionalSection, Bytes{1, 2, 3}});
  Bytes file = parts.assemble();
  EXPECT_EQ(testing::load_error(file, true), "");
  file.back() ^= 1;
  EXPECT_TRUE(rejects(file, "unknown section is damaged"));
}

TEST(FormatSections, RejectsOffsetsOffTheirPlace) {
  const auto right = testing::get<uint64_t>(golden_file(), entry_at(3) + kOffsetAt);
  for (uint64_t wrong : {right + 64, right - 64, right + 1, uint64_t{0}, ~uint64_t{0}, ~uint64_t{63}}) {
    const std::string got = "section 3: offset is " + std::to_string(wrong) + ", must be ";
    EXPECT_TRUE(rejects(golden_with(entry_at(3) + kOffsetAt, wrong), got));
  }
}

TEST(FormatSections, RejectsSizesBeyondTheFile) {
  for (uint64_t bytes : {uint64_t{1} << 20, uint64_t{1} << 63, ~uint64_t{0}}) {
    const std::string want = "section kLayers needs " + std::to_string(bytes) + " bytes, file has";
    EXPECT_TRUE(rejects(golden_with(entry_at(2) + kBytesAt, bytes), want));
  }
}

TEST(FormatSections, RejectsPaddingThatIsNotZero) {
  Bytes file = golden_file();
  const auto end = testing::get<uint64_t>(file, entry_at(0) + kOffsetAt) +
                   testing::get<uint64_t>(file, entry_at(0) + kBytesAt);
  ASSERT_NE(end % kSectionAlignment, 0u);
  file[static_cast<size_t>(end)] = 1;
  EXPECT_TRUE(rejects(file, "padding is 1, must be 0"));
}

TEST(FormatSections, ABrokenKindIsFoundByItsField) {
  EXPECT_TRUE(rejects(golden_with(entry_at(4) + kKindAt, uint32_t{8}), "section 4: kind 8 is unknown"));
}

}  // namespace
}  // namespace squish
