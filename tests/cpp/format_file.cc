#include "format_file.h"

#include <algorithm>

#include "format/crc32.h"
#include "format/parse.h"
#include "format/weights.h"
#include "squish/error.h"

namespace squish::testing {
namespace {

constexpr size_t kHeaderCrcAt = 12, kFileBytesAt = 16, kSectionCountAt = 24;

void align(Bytes& bytes, size_t alignment) {
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
}

}  // namespace

FileParts::FileParts(const Bytes& file) {
  for (size_t k = 0; k < get<uint32_t>(file, kSectionCountAt); ++k) {
    const auto begin = file.begin() + static_cast<ptrdiff_t>(get<int64_t>(file, entry_at(k) + 8));
    const auto size = static_cast<ptrdiff_t>(get<int64_t>(file, entry_at(k) + 16));
    sections.push_back({get<uint32_t>(file, entry_at(k)), Bytes(begin, begin + size)});
  }
}

Bytes& FileParts::operator[](SectionKind kind) {
  for (RawSection& section : sections) {
    if (section.kind == static_cast<uint32_t>(kind)) return section.bytes;
  }
  throw std::out_of_range("the file has no such section");
}

void FileParts::erase(SectionKind kind) {
  const auto is_it = [=](const RawSection& s) { return s.kind == static_cast<uint32_t>(kind); };
  sections.erase(std::remove_if(sections.begin(), sections.end(), is_it), sections.end());
}

Bytes FileParts::assemble() const {
  Bytes file(std::begin(kMagic), std::end(kMagic));
  file.resize(entry_at(sections.size()));
  set(file, 8, kFormatVersion);
  set(file, kSectionCountAt, static_cast<uint32_t>(sections.size()));
  for (size_t k = 0; k < sections.size(); ++k) {
    align(file, kSectionAlignment);
    set(file, entry_at(k), sections[k].kind);
    set(file, entry_at(k) + 8, uint64_t{file.size()});
    set(file, entry_at(k) + 16, uint64_t{sections[k].bytes.size()});
    file.insert(file.end(), sections[k].bytes.begin(), sections[k].bytes.end());
  }
  set(file, kFileBytesAt, uint64_t{file.size()});
  repair_checksums(file);
  return file;
}

void repair_checksums(Bytes& file) {
  // A count that was broken on purpose may be any.
  const size_t room = (file.size() - kHeaderBytes) / kSectionEntryBytes;
  const size_t count = std::min<size_t>(get<uint32_t>(file, kSectionCountAt), room);
  for (size_t k = 0; k < count; ++k) {
    const auto offset = get<uint64_t>(file, entry_at(k) + 8), bytes = get<uint64_t>(file, entry_at(k) + 16);
    if (offset > file.size() || bytes > file.size() - offset) continue;  // broken on purpose
    set(file, entry_at(k) + 4, crc32({file.data() + offset, static_cast<size_t>(bytes)}));
  }
  set(file, kHeaderCrcAt, uint32_t{0});
  set(file, kHeaderCrcAt, crc32({file.data(), entry_at(count)}));
}

::testing::AssertionResult rejects(const Bytes& file, const std::string& word) {
  const std::string error = load_error(file, true);
  if (error.empty()) return ::testing::AssertionFailure() << "the file loads";
  if (error.find(word) == std::string::npos) {
    return ::testing::AssertionFailure() << "got '" << error << "', wanted '" << word << "' in it";
  }
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult rejects(const FileParts& file, const std::string& word) {
  return rejects(file.assemble(), word);
}

std::string load_error(const Bytes& file, bool verify_checksums) {
  try {
    const NetDescription net = parse({file.data(), file.size()}, verify_checksums);
    for (const LayerDescription& layer : net.layers) {
      for (const ConvDescription& conv : layer.convs) {
        decode_bias(conv);
        count_live_weights(conv);
        count_live_clusters(conv);
      }
    }
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

}  // namespace squish::testing
