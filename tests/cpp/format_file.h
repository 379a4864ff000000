// A .squish file taken apart, so that a test can break one field and put it together again with right checksums.
// Written from the specification alone: a second opinion on the library's writer.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "format/layout.h"

namespace squish::testing {

using Bytes = std::vector<uint8_t>;

template <typename T>
T get(const Bytes& bytes, size_t at) {
  T value;
  std::memcpy(&value, &bytes.at(at + sizeof(T) - 1) - (sizeof(T) - 1), sizeof value);
  return value;
}

template <typename T>
void set(Bytes& bytes, size_t at, T value) {
  std::memcpy(&bytes.at(at + sizeof(T) - 1) - (sizeof(T) - 1), &value, sizeof value);
}

struct RawSection {
  uint32_t kind;
  Bytes bytes;
};

class FileParts {
 public:
  explicit FileParts(const Bytes& file);

  Bytes& operator[](SectionKind kind);
  void erase(SectionKind kind);

  // Field at `at` of record `index` in kLayers or kConvs.
  template <typename T>
  void set_layer(size_t index, size_t at, T value) {
    set((*this)[SectionKind::kLayers], index * kLayerRecordBytes + at, value);
  }
  template <typename T>
  void set_conv(size_t index, size_t at, T value) {
    set((*this)[SectionKind::kConvs], index * kConvRecordBytes + at, value);
  }
  template <typename T>
  T conv(size_t index, size_t at) {
    return get<T>((*this)[SectionKind::kConvs], index * kConvRecordBytes + at);
  }

  Bytes assemble() const;

  std::vector<RawSection> sections;
};

// Makes all checksums of a file right again whose sections are still where the table says.
void repair_checksums(Bytes& file);

// Where entry `index` of the section table begins.
constexpr size_t entry_at(size_t index) { return kHeaderBytes + index * kSectionEntryBytes; }

// Whether parse() throws FormatError with `word` in its message.
::testing::AssertionResult rejects(const Bytes& file, const std::string& word);

// The same for a file put together from its parts.
::testing::AssertionResult rejects(const FileParts& file, const std::string& word);

// Parses and decodes everything in it. Returns the message of the FormatError, or "" if there was none.
std::string load_error(const Bytes& file, bool verify_checksums);

}  // namespace squish::testing
