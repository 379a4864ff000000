#include "bench/json_writer.h"

#include <cmath>
#include <cstdio>

#include "format/text.h"

namespace squish::bench {
namespace {

bool is_utf8(const std::string& text) {
  return find_invalid_text({reinterpret_cast<const uint8_t*>(text.data()), text.size()}) == kTextIsValid;
}

std::string escape(unsigned char c, bool keep_high) {
  if (c == '"' || c == '\\') return {'\\', static_cast<char>(c)};
  if (c >= 0x80 && !keep_high) return "\\ufffd";
  if (c >= 0x20) return {static_cast<char>(c)};
  char escaped[8];
  std::snprintf(escaped, sizeof escaped, "\\u%04x", unsigned{c});
  return escaped;
}

}  // namespace

std::string json_quote(const std::string& text) {
  const bool keep_high = is_utf8(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += escape(static_cast<unsigned char>(c), keep_high);
  return quoted + "\"";
}

JsonWriter& JsonWriter::key(const std::string& name) {
  separate();
  text_ += json_quote(name) + ": ";
  after_key_ = true;
  return *this;
}

void JsonWriter::value(const std::string& text) { raw(json_quote(text)); }

void JsonWriter::value(double number) {
  if (!std::isfinite(number)) return null();
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", number);
  raw(text);
}

void JsonWriter::open(char bracket) {
  separate();
  text_ += bracket;
  has_members_.push_back(false);
}

void JsonWriter::close(char bracket) {
  const bool had_members = has_members_.back();
  has_members_.pop_back();
  if (had_members) text_ += "\n" + std::string(2 * has_members_.size(), ' ');
  text_ += bracket;
}

void JsonWriter::raw(const std::string& token) {
  separate();
  text_ += token;
}

// What stands between the last member and this one; nothing between a key and its value.
void JsonWriter::separate() {
  if (after_key_) {
    after_key_ = false;
  } else if (!has_members_.empty()) {
    text_ += has_members_.back() ? ",\n" : "\n";
    text_ += std::string(2 * has_members_.size(), ' ');
    has_members_.back() = true;
  }
}

}  // namespace squish::bench
