// Builds the little-endian bytes of a part of a file. Used by encode() and write().
#pragma once

#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "format/description.h"
#include "format/text.h"
#include "squish/error.h"

namespace squish {

class ByteWriter {
 public:
  template <typename T>
  void put(T value) {
    static_assert(std::is_arithmetic_v<T>, "fields are numbers");
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
  }

  // The field must hold the number: throws InvalidArgument otherwise.
  template <typename T>
  void put_int(int64_t value, const char* field) {
    constexpr auto kMax = int64_t{std::numeric_limits<T>::max()};
    if (value < 0 || value > kMax) {
      throw InvalidArgument(concat(place_, field, " is ", value, ", must be 0 to ", kMax));
    }
    put(static_cast<T>(value));
  }

  void put_bytes(ByteSpan bytes) { bytes_.insert(bytes_.end(), bytes.data, bytes.data + bytes.size); }
  void put_text(const std::string& text) { bytes_.insert(bytes_.end(), text.begin(), text.end()); }
  void put_zeros(size_t count) { bytes_.resize(bytes_.size() + count); }
  void align(size_t alignment) { put_zeros((alignment - bytes_.size() % alignment) % alignment); }

  // Replaces bytes that are there.
  template <typename T>
  void set(size_t at, T value) {
    std::memcpy(bytes_.data() + at, &value, sizeof value);
  }

  // What is being written, for messages: "layer 7 'fire5': ".
  void set_place(std::string place) { place_ = std::move(place); }

  size_t size() const { return bytes_.size(); }
  ByteSpan span() const { return {bytes_.data(), bytes_.size()}; }
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
  std::string place_;
};

}  // namespace squish
