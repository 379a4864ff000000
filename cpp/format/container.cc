#include "format/container.h"

#include <cstring>

#include "format/crc32.h"
#include "squish/error.h"

namespace squish {
namespace {

constexpr size_t kHeaderCrcPosition = 12;
constexpr SectionKind kRequiredSections[] = {SectionKind::kInput, SectionKind::kStrings, SectionKind::kLayers,
                                             SectionKind::kConvs, SectionKind::kWeights};

void read_magic(ByteReader& file) {
  const ByteSpan magic = file.take(sizeof kMagic, "magic");
  if (std::memcmp(magic.data, kMagic, sizeof kMagic) == 0) return;
  std::string got;
  for (size_t k = 0; k < magic.size; ++k) got += concat(k == 0 ? "" : " ", hex(magic.data[k]));
  file.fail(concat("not a .squish file: it begins with ", got));
}

void read_version(ByteReader& file) {
  const uint32_t version = file.read<uint32_t>("version");
  if (version == kFormatVersion) return;
  file.fail(concat("file has version ", version, ", this library reads version ", kFormatVersion));
}

// The header's fields up to section_count.
struct FileHeader {
  uint32_t crc;
  uint64_t file_bytes;
};

FileHeader read_header(ByteReader& file) {
  read_magic(file);
  read_version(file);
  FileHeader header{};
  header.crc = file.read<uint32_t>("header_crc");
  header.file_bytes = file.read<uint64_t>("file_bytes");
  return header;
}

void check_file_bytes(const ByteReader& file, uint64_t got, uint64_t want) {
  if (got < want) file.fail(concat("file is truncated: it has ", got, " bytes, its header says ", want));
  if (got > want) file.fail(concat("file goes on behind the ", want, " bytes that its header says"));
}

uint32_t read_section_count(ByteReader& file) {
  const uint32_t count = file.read<uint32_t>("section_count");
  if (count < 1 || count > kMaxSections) {
    file.fail(concat("section_count is ", count, ", must be 1 to ", kMaxSections));
  }
  return count;
}

// header_crc covers the header and the table as if header_crc itself were zero.
void check_header_crc(ByteSpan file, uint32_t section_count, uint32_t header_crc) {
  const uint8_t zeros[sizeof header_crc] = {};
  const size_t behind_field = kHeaderCrcPosition + sizeof header_crc;
  const size_t end = kHeaderBytes + section_count * kSectionEntryBytes;
  uint32_t crc = crc32({file.data, kHeaderCrcPosition});
  crc = crc32({zeros, sizeof zeros}, crc);
  crc = crc32({file.data + behind_field, end - behind_field}, crc);
  if (crc == header_crc) return;
  throw FormatError(concat("header or section table is damaged: their CRC-32 is ", hex(crc),
                           ", header_crc says ", hex(header_crc)));
}

SectionKind read_kind(ByteReader& table, uint32_t previous) {
  const uint32_t kind = table.read<uint32_t>("kind");
  const bool known = section_name(static_cast<SectionKind>(kind)) != nullptr;
  if (!known && (kind & kOptionalSection) == 0) {
    table.fail(concat("kind ", kind, " is unknown to version ", kFormatVersion, " and not optional"));
  }
  if (kind <= previous) {
    table.fail(concat("kind is ", hex(kind), ", must be above ", hex(previous), " of the section before"));
  }
  return static_cast<SectionKind>(kind);
}

// `file` stands where the section before ended.
Section read_section(ByteReader& table, ByteReader& file, uint32_t previous_kind, bool verify_checksums) {
  const SectionKind kind = read_kind(table, previous_kind);
  const char* name = section_name(kind) != nullptr ? section_name(kind) : "unknown section";
  const uint32_t crc = table.read<uint32_t>("crc");
  file.skip_padding(kSectionAlignment);
  const uint64_t offset = table.read<uint64_t>("offset");
  if (offset != file.position()) table.fail(concat("offset is ", offset, ", must be ", file.position()));
  const uint64_t bytes = table.read<uint64_t>("bytes");
  const ByteSpan contents = file.take(bytes, name);
  if (verify_checksums && crc32(contents) != crc) {
    file.fail(
        concat(name, " is damaged: its CRC-32 is ", hex(crc32(contents)), ", the table says ", hex(crc)));
  }
  return {kind, ByteReader(contents, offset, name)};
}

}  // namespace

const char* section_name(SectionKind kind) {
  switch (kind) {
    case SectionKind::kInput:
      return "section kInput";
    case SectionKind::kStrings:
      return "section kStrings";
    case SectionKind::kLayers:
      return "section kLayers";
    case SectionKind::kConvs:
      return "section kConvs";
    case SectionKind::kWeights:
      return "section kWeights";
    case SectionKind::kLabels:
      return "section kLabels";
    case SectionKind::kAbout:
      return "section kAbout";
  }
  return nullptr;
}

ByteReader* find_section(std::vector<Section>& sections, SectionKind kind) {
  for (Section& section : sections) {
    if (section.kind == kind) return &section.bytes;
  }
  return nullptr;
}

uint64_t file_bytes_of(ByteSpan beginning) {
  ByteReader file(beginning, 0, "file");
  return read_header(file).file_bytes;
}

std::vector<Section> read_sections(ByteSpan file_bytes, bool verify_checksums) {
  ByteReader file(file_bytes, 0, "file");
  const FileHeader header = read_header(file);
  check_file_bytes(file, file_bytes.size, header.file_bytes);
  const uint32_t count = read_section_count(file);
  file.skip_zeros(sizeof(uint32_t), "reserved");
  ByteReader table = file.take_part(count * kSectionEntryBytes, "section table");
  if (verify_checksums) check_header_crc(file_bytes, count, header.crc);

  std::vector<Section> sections;
  uint32_t previous = 0;
  for (uint32_t k = 0; k < count; ++k) {
    table.set_place(concat("section ", k));
    Section section = read_section(table, file, previous, verify_checksums);
    previous = static_cast<uint32_t>(section.kind);
    if (section_name(section.kind) != nullptr) sections.push_back(std::move(section));
  }
  file.expect_end();
  for (SectionKind kind : kRequiredSections) {
    if (find_section(sections, kind) == nullptr) throw FormatError(concat(section_name(kind), " is missing"));
  }
  return sections;
}

}  // namespace squish
