// Reads the little-endian fields of a part of a file one after the other, never beyond its end. A failure names
// the place, the field and its offset in the file. Used by the parser alone.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include "format/description.h"
#include "format/text.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the format is little-endian and is read without swapping"
#endif

namespace squish {

class ByteReader {
 public:
  // container: what `bytes` are, for messages: "section kLayers". offset: where in the file they begin.
  ByteReader(ByteSpan bytes, uint64_t offset, std::string container)
      : bytes_(bytes), offset_(offset), container_(std::move(container)) {}

  // What is being read, for messages: "layer 7 'fire5'". Begins them until the next call.
  void set_place(std::string place) { place_ = std::move(place); }
  const std::string& place() const { return place_; }

  size_t position() const { return position_; }  // from the beginning of this part
  size_t left() const { return bytes_.size - position_; }

  template <typename T>
  T read(const char* field) {
    static_assert(std::is_arithmetic_v<T>, "fields are numbers");
    T value;
    std::memcpy(&value, take(sizeof value, field).data, sizeof value);
    return value;
  }

  template <typename T>
  int read_int(const char* field, int low, int high) {
    static_assert(sizeof(T) < sizeof(int), "wider fields are not read as int");
    const int value = read<T>(field);
    if (value < low || value > high) {
      fail(concat(field, " is ", value, ", must be ", low == high ? "" : concat(low, " to "), high));
    }
    return value;
  }

  // The next bytes as they are. Fails before it reads or allocates anything if there are not as many.
  ByteSpan take(uint64_t bytes, const char* what);
  // The next bytes as a part of their own, whose failures tell offsets in the file, too.
  ByteReader take_part(uint64_t bytes, const char* what);
  std::string take_text(uint64_t bytes, const char* what);

  // Steps over bytes that must be zero.
  void skip_zeros(uint64_t bytes, const char* what);
  // Steps to the next multiple, counted from the beginning of this part.
  void skip_padding(size_t alignment);
  void expect_end() const;

  // Throws FormatError with the place before the message and the offset behind it: of what was read last, or of
  // `position` in this part.
  [[noreturn]] void fail(const std::string& message) const { fail_at(last_, message); }
  [[noreturn]] void fail_at(size_t position, const std::string& message) const;

 private:
  ByteSpan bytes_;
  uint64_t offset_;
  std::string container_;
  std::string place_;
  size_t position_ = 0;
  size_t last_ = 0;  // where what was read last began
};

}  // namespace squish
