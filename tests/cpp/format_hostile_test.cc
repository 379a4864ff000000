// Files that are damaged or lie: an exception or a net that works, never a crash, never memory without a reason.
#include <gtest/gtest.h>

#include <tuple>

#include "allocations.h"
#include "format/parse.h"
#include "format/write.h"
#include "format_file.h"
#include "golden_net.h"
#include "run_file.h"
#include "squish/error.h"
#include "support/net_builder.h"

namespace squish {
namespace {

using testing::Bytes;
using testing::FileParts;
using testing::golden_compressed_file;
using testing::golden_file;
using testing::golden_int4_file;
using testing::load_error;

using Golden = Bytes (*)();
constexpr Golden kGoldenFiles[] = {&golden_file, &golden_int4_file, &golden_compressed_file};

// Most bytes of a file are weights, which may have other values; but a compressed payload of other bits is one that no
// writer makes.
bool may_mostly_change(Golden golden) { return golden != &golden_compressed_file; }

class FormatHostileFiles : public ::testing::TestWithParam<Golden> {};

INSTANTIATE_TEST_SUITE_P(, FormatHostileFiles, ::testing::ValuesIn(kGoldenFiles));

TEST_P(FormatHostileFiles, RejectsEveryTruncation) {
  const Bytes file = GetParam()();
  for (size_t size = 0; size < file.size(); ++size) {
    // A copy of its own size, so that a sanitizer sees one byte read too many.
    const Bytes truncated(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_NE(load_error(truncated, true), "") << size;
    ASSERT_NE(load_error(truncated, false), "") << size;
  }
}

// With a header that admits the new size the sections themselves have to notice.
TEST_P(FormatHostileFiles, RejectsEveryTruncationThatTheHeaderAdmits) {
  const Bytes file = GetParam()();
  for (size_t size = kHeaderBytes; size < file.size(); ++size) {
    Bytes truncated(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    testing::set(truncated, 16, uint64_t{size});
    ASSERT_NE(load_error(truncated, false), "") << size;
  }
}

TEST_P(FormatHostileFiles, ChecksumsFindEveryFlippedByte) {
  Bytes file = GetParam()();
  for (size_t k = 0; k < file.size(); ++k) {
    for (uint8_t flip : Bytes{0x01, 0x80, 0xFF}) {
      file[k] ^= flip;
      ASSERT_NE(load_error(file, true), "") << "byte " << k;
      file[k] ^= flip;
    }
  }
}

TEST_P(FormatHostileFiles, SurvivesEveryFlippedByteWithoutChecksums) {
  Bytes file = GetParam()();
  size_t loaded = 0;
  for (size_t k = 0; k < file.size(); ++k) {
    for (uint8_t flip : Bytes{0x01, 0x80, 0xFF}) {
      file[k] ^= flip;
      loaded += load_error(file, false).empty() ? 1 : 0;  // another exception than FormatError fails the test
      file[k] ^= flip;
    }
  }
  if (may_mostly_change(GetParam())) {
    EXPECT_GT(loaded, file.size());
  } else {
    EXPECT_GT(loaded, 0u);
  }
}

// The flips of one byte of a file in kShards: each shard a test of its own, so that they run side by side.
class FormatHostileFlips : public ::testing::TestWithParam<std::tuple<Golden, size_t>> {
 protected:
  static constexpr size_t kShards = 8;
};

// Damage that nobody's checksum shows, as a hostile writer makes it: what loads must plan, pack and compute.
TEST_P(FormatHostileFlips, RunOrAreRefused) {
  const auto [golden_of, shard] = GetParam();
  const Bytes golden = golden_of();
  size_t refused = 0, compared = 0, flips = 0;
  for (size_t k = shard; k < golden.size(); k += kShards) {
    for (uint8_t flip : Bytes{0x01, 0x80, 0xFF}) {
      Bytes file = golden;
      file[k] ^= flip;
      testing::repair_checksums(file);
      SCOPED_TRACE(::testing::Message() << "byte " << k << " xor " << int{flip});
      ++flips;
      try {
        compared += testing::run_file(file) == testing::RunResult::kCompared ? 1 : 0;
      } catch (const FormatError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(compared, may_mostly_change(golden_of) ? flips / 2 : 0);
  EXPECT_GT(refused, 0u);
}

INSTANTIATE_TEST_SUITE_P(Shards, FormatHostileFlips,
                         ::testing::Combine(::testing::ValuesIn(kGoldenFiles),
                                            ::testing::Range(size_t{0}, size_t{8})));

// A net that is made for integer arithmetic, so that whatever still is computes the reference's bits (run_file.cc).
TEST(FormatHostile, FlippedBytesOfANetInIntegers) {
  testing::NetBuilder net(1, 3);
  testing::ConvStyle style{true, 0.5, true, WeightType::kI4};
  const int pooled = net.max_pool(net.conv(-1, 5, testing::square(3, 2, 1), style), testing::square(3, 2));
  const int sum = net.add(net.fire(pooled, {3, 3, 2}, style), pooled);
  net.global_average_pool(net.conv(sum, 3, testing::square(1), style));
  net.hold_in_bytes();
  const Bytes honest = write(net.net());
  size_t ran = 0, refused = 0;
  for (size_t k = kHeaderBytes; k < honest.size(); ++k) {
    for (uint8_t flip : Bytes{0x01, 0x80, 0xFF}) {
      Bytes file = honest;
      file[k] ^= flip;
      testing::repair_checksums(file);
      try {
        ran += testing::run_file(file) != testing::RunResult::kNotRun ? 1 : 0;
      } catch (const FormatError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(ran, 0u);
  EXPECT_GT(refused, 0u);
}

// Bytes that parse() may allocate: a description is a few times larger than its records, and the readers and
// messages need a little whatever the file.
int64_t allowance(const Bytes& file) { return 8 * static_cast<int64_t>(file.size()) + 32768; }

int64_t bytes_to_parse(const Bytes& file) {
  const testing::AllocationCounter counter;
  try {
    parse({file.data(), file.size()}, false);
  } catch (const FormatError&) {
  }
  return counter.bytes();
}

TEST(FormatHostile, AllocatesInProportionToTheFile) {
  const Bytes golden = golden_file();
  EXPECT_LE(bytes_to_parse(golden), allowance(golden));
  EXPECT_GT(bytes_to_parse(golden), 0) << "the counter does not count";
}

TEST(FormatHostile, AllocatesNothingForSizesThatAreLies) {
  Bytes file = golden_file();
  for (size_t k = 8; k + 8 <= file.size(); ++k) {
    const auto honest = testing::get<uint64_t>(file, k);
    for (uint64_t lie : {~uint64_t{0}, uint64_t{0x7FFFFFFF7FFFFFFF}, uint64_t{0x0000FFFF0000FFFF}}) {
      testing::set(file, k, lie);
      ASSERT_LE(bytes_to_parse(file), allowance(file)) << "position " << k;
    }
    testing::set(file, k, honest);
  }
}

TEST(FormatHostile, AllocatesInProportionForManyLayersAndLabels) {
  // The most description for a file's bytes: as many layers as there may be, and empty labels.
  FileParts parts(golden_file());
  Bytes& layers = parts[SectionKind::kLayers];
  Bytes& strings = parts[SectionKind::kStrings];
  layers.assign(kMaxLayers * kLayerRecordBytes, 0);
  strings.clear();
  for (size_t k = 0; k < kMaxLayers; ++k) {
    const std::string name = std::to_string(k);
    parts.set_layer(k, 0, LayerKind::kGlobalAveragePool);
    parts.set_layer(k, 2, static_cast<uint16_t>(name.size()));
    parts.set_layer(k, 4, static_cast<uint32_t>(strings.size()));
    parts.set_layer(k, 8, static_cast<uint16_t>(k));
    strings.insert(strings.end(), name.begin(), name.end());
  }
  parts[SectionKind::kConvs].clear();
  parts[SectionKind::kWeights].clear();
  parts[SectionKind::kLabels].assign(4 + 4 * 100000, 0);
  testing::set(parts[SectionKind::kLabels], 0, uint32_t{100000});
  const Bytes file = parts.assemble();
  EXPECT_EQ(load_error(file, true), "");
  EXPECT_LE(bytes_to_parse(file), allowance(file));
}

}  // namespace
}  // namespace squish
