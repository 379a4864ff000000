// Text for error messages, and the check of text from a file.
#pragma once

#include <locale>
#include <sstream>
#include <string>

#include "format/description.h"

namespace squish {

// "offset ", 64, " is odd" -> "offset 64 is odd". The C locale whatever the program's is: no "1.234".
// Pass integers wider than a char, or they are taken for characters. For what is thrown: it is slow and allocates.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  (text << ... << parts);
  return text.str();
}

// 8000 -> "0x1f40"
std::string hex(uint64_t value);

inline constexpr size_t kTextIsValid = static_cast<size_t>(-1);

// Index of the first byte that is not UTF-8 (RFC 3629) or is NUL; kTextIsValid if there is none.
size_t find_invalid_text(ByteSpan text);

}  // namespace squish
