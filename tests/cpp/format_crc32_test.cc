#include <gtest/gtest.h>

#include <vector>

#include "format/crc32.h"

namespace squish {
namespace {

// The definition: one bit at a time.
uint32_t crc32_by_bits(ByteSpan bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (size_t k = 0; k < bytes.size; ++k) {
    crc ^= bytes.data[k];
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
  }
  return ~crc;
}

std::vector<uint8_t> some_bytes(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t k = 0; k < count; ++k) bytes[k] = static_cast<uint8_t>(k * k + 37 * k);
  return bytes;
}

TEST(Crc32, HasThePublishedCheckValue) {
  const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  EXPECT_EQ(crc32({digits, sizeof digits}), 0xCBF43926u);
}

TEST(Crc32, OfNothingIsZero) { EXPECT_EQ(crc32({nullptr, 0}), 0u); }

TEST(Crc32, AgreesWithTheDefinitionAtEveryLengthAndAlignment) {
  const std::vector<uint8_t> bytes = some_bytes(100);
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t size = 0; size <= bytes.size() - begin; ++size) {
      const ByteSpan span = {bytes.data() + begin, size};
      ASSERT_EQ(crc32(span), crc32_by_bits(span)) << "begin " << begin << ", size " << size;
    }
  }
}

TEST(Crc32, ContinuesWhereItStopped) {
  const std::vector<uint8_t> bytes = some_bytes(64);
  for (size_t split = 0; split <= bytes.size(); ++split) {
    const uint32_t first = crc32({bytes.data(), split});
    ASSERT_EQ(crc32({bytes.data() + split, bytes.size() - split}, first),
              crc32({bytes.data(), bytes.size()}));
  }
}

}  // namespace
}  // namespace squish
