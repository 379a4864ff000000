#include <gtest/gtest.h>

#include "format/text.h"

namespace squish {
namespace {

size_t find_invalid(const std::string& text) {
  return find_invalid_text({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

TEST(Text, AcceptsEveryLengthOfCharacter) {
  for (const char* text :
       {"", "fire2/squeeze", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(find_invalid(text), kTextIsValid) << text;
  }
}

TEST(Text, RefusesWhatIsNotUtf8) {
  const struct {
    const char *why, *text;
  } cases[] = {
      {"continuation without lead", "ab\x80"},     {"lead at the end", "ab\xC3"},
      {"two of three bytes", "ab\xE2\x82"},        {"three of four bytes", "ab\xF0\x9F\x98"},
      {"lead and no continuation", "ab\xC3z"},     {"overlong /, 2 bytes", "ab\xC0\xAF"},
      {"overlong 7F, 2 bytes", "ab\xC1\xBF"},      {"overlong, 3 bytes", "ab\xE0\x9F\xBF"},
      {"overlong, 4 bytes", "ab\xF0\x8F\xBF\xBF"}, {"low surrogate bound", "ab\xED\xA0\x80"},
      {"high surrogate bound", "ab\xED\xBF\xBF"},  {"above U+10FFFF", "ab\xF4\x90\x80\x80"},
      {"lead F5", "ab\xF5\x80\x80\x80"},           {"byte FF", "ab\xFF"},
      {"third byte wrong", "ab\xE2\x82z"},         {"fourth byte wrong", "ab\xF0\x9F\x98z"},
  };
  for (const auto& c : cases) EXPECT_EQ(find_invalid(c.text), 2u) << c.why;
}

TEST(Text, RefusesNul) { EXPECT_EQ(find_invalid(std::string("a\0b", 3)), 1u); }

TEST(Text, ConcatWritesNumbersWithoutGrouping) {
  EXPECT_EQ(concat("n = ", 1234567, ", ", -1), "n = 1234567, -1");
}

TEST(Text, Hex) { EXPECT_EQ(hex(0x1F38), "0x1f38"); }

}  // namespace
}  // namespace squish
