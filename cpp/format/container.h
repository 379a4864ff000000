// The outside of a .squish file: header, section table, checksums. Used by parse().
#pragma once

#include <vector>

#include "format/byte_reader.h"
#include "format/layout.h"

namespace squish {

struct Section {
  SectionKind kind;
  ByteReader bytes;
};

// The sections of the file in the order of their kinds, without the optional ones that this version does not
// know. Throws FormatError where the header or the table break a rule, or where a required section is missing.
std::vector<Section> read_sections(ByteSpan file, bool verify_checksums);

// How many bytes the file has that begins so, as its header says: for those who read it piece by piece. Throws
// FormatError where it begins with no header of this version.
uint64_t file_bytes_of(ByteSpan beginning);

// nullptr where there is none.
ByteReader* find_section(std::vector<Section>& sections, SectionKind kind);

// "section kLayers"; nullptr for a kind that this version does not know.
const char* section_name(SectionKind kind);

}  // namespace squish
