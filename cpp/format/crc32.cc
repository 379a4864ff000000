#include "format/crc32.h"

#include <cstring>

namespace squish {
namespace {

constexpr uint32_t kPolynomial = 0xEDB88320u;  // x^32 + x^26 + ... + 1, lowest bit first

// at[k][b]: what byte b contributes when k more bytes follow it. Eight table look-ups that do not wait for each
// other take eight bytes at once ("slicing by 8"), where one table would make a chain of eight.
struct SlicingTables {
  uint32_t at[8][256];
};

constexpr SlicingTables make_tables() {
  SlicingTables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables.at[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; ++byte) {
    for (int k = 1; k < 8; ++k) {
      const uint32_t shorter = tables.at[k - 1][byte];
      tables.at[k][byte] = (shorter >> 8) ^ tables.at[0][shorter & 0xFF];
    }
  }
  return tables;
}

constexpr SlicingTables kTables = make_tables();

uint32_t step_8(const uint8_t* bytes, uint32_t crc) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  word ^= crc;
  uint32_t next = 0;
  for (int k = 0; k < 8; ++k) next ^= kTables.at[7 - k][(word >> (8 * k)) & 0xFF];
  return next;
}

}  // namespace

uint32_t crc32(ByteSpan bytes, uint32_t previous) {
  uint32_t crc = ~previous;
  size_t k = 0;
  for (; bytes.size - k >= 8; k += 8) crc = step_8(bytes.data + k, crc);
  for (; k < bytes.size; ++k) crc = (crc >> 8) ^ kTables.at[0][(crc ^ bytes.data[k]) & 0xFF];
  return ~crc;
}

}  // namespace squish
