#include "format/byte_reader.h"

#include "squish/error.h"

namespace squish {

ByteSpan ByteReader::take(uint64_t bytes, const char* what) {
  last_ = position_;
  if (bytes > left()) fail(concat(what, " needs ", bytes, " bytes, ", container_, " has ", left(), " left"));
  position_ += static_cast<size_t>(bytes);
  return {bytes_.data + last_, static_cast<size_t>(bytes)};
}

ByteReader ByteReader::take_part(uint64_t bytes, const char* what) {
  ByteReader part(take(bytes, what), offset_ + last_, what);
  part.set_place(place_);
  return part;
}

std::string ByteReader::take_text(uint64_t bytes, const char* what) {
  const ByteSpan text = take(bytes, what);
  const size_t bad = find_invalid_text(text);
  if (bad != kTextIsValid) fail_at(last_ + bad, concat(what, " is not UTF-8 without NUL at its byte ", bad));
  return std::string(text.data, text.data + text.size);
}

void ByteReader::skip_zeros(uint64_t bytes, const char* what) {
  const ByteSpan zeros = take(bytes, what);
  for (size_t k = 0; k < zeros.size; ++k) {
    if (zeros.data[k] != 0) fail_at(last_ + k, concat(what, " is ", int{zeros.data[k]}, ", must be 0"));
  }
}

void ByteReader::skip_padding(size_t alignment) {
  skip_zeros((alignment - position_ % alignment) % alignment, "padding");
}

void ByteReader::expect_end() const {
  if (left() != 0) fail_at(position_, concat(container_, " has ", left(), " bytes too many"));
}

void ByteReader::fail_at(size_t position, const std::string& message) const {
  const char* colon = place_.empty() ? "" : ": ";
  throw FormatError(concat(place_, colon, message, " (offset ", hex(offset_ + position), ")"));
}

}  // namespace squish
