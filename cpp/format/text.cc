#include "format/text.h"

namespace squish {
namespace {

// What may follow a lead byte: `count` continuation bytes, the first of them from `low` to `high`. The narrower
// ranges refuse overlong forms (E0, F0), surrogates (ED) and what is above U+10FFFF (F4).
struct Continuation {
  size_t count;
  uint8_t low, high;
};

constexpr Continuation kInvalidLead = {0, 1, 0};

Continuation continuation_of(uint8_t lead) {
  if (lead > 0x00 && lead < 0x80) return {0, 0, 0};
  if (lead >= 0xC2 && lead <= 0xDF) return {1, 0x80, 0xBF};
  if (lead == 0xE0) return {2, 0xA0, 0xBF};
  if (lead == 0xED) return {2, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return {2, 0x80, 0xBF};
  if (lead == 0xF0) return {3, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return {3, 0x80, 0xBF};
  if (lead == 0xF4) return {3, 0x80, 0x8F};
  return kInvalidLead;
}

// Bytes of the character at the front of `text`; 0 if it is none.
size_t character_bytes(const uint8_t* text, size_t left) {
  const Continuation next = continuation_of(text[0]);
  if (next.low > next.high || next.count >= left) return 0;
  for (size_t k = 1; k <= next.count; ++k) {
    const uint8_t low = k == 1 ? next.low : 0x80, high = k == 1 ? next.high : 0xBF;
    if (text[k] < low || text[k] > high) return 0;
  }
  return 1 + next.count;
}

}  // namespace

std::string hex(uint64_t value) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << "0x" << std::hex << value;
  return text.str();
}

size_t find_invalid_text(ByteSpan text) {
  for (size_t at = 0; at < text.size;) {
    const size_t bytes = character_bytes(text.data + at, text.size - at);
    if (bytes == 0) return at;
    at += bytes;
  }
  return kTextIsValid;
}

}  // namespace squish
