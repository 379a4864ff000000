// Writes JSON, indented, in the order of the calls. Text that is not UTF-8 (a file name may hold any bytes) loses its
// bytes above 0x7f to U+FFFD; numbers that are not finite, for which JSON has no word, become null.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace squish::bench {

class JsonWriter {
 public:
  // In an object the name comes first; in an array there is none.
  JsonWriter& key(const std::string& name);

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }

  void value(const std::string& text);
  void value(const char* text) { value(std::string(text)); }
  void value(double number);
  void value(int64_t number) { raw(std::to_string(number)); }
  void value(int number) { value(int64_t{number}); }
  void value(bool truth) { raw(truth ? "true" : "false"); }
  void null() { raw("null"); }

  // The document, which must be complete, with a newline at its end.
  std::string text() const { return text_ + "\n"; }

 private:
  void open(char bracket);
  void close(char bracket);
  void raw(const std::string& token);
  void separate();

  std::string text_;
  std::vector<bool> has_members_;  // one an open object or array
  bool after_key_ = false;
};

// `text` as a JSON string, quotes included.
std::string json_quote(const std::string& text);

}  // namespace squish::bench
