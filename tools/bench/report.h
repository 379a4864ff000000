// Where a benchmark's results go.
#pragma once

#include <string>

namespace squish::bench {

// The text to stdout and, where `json_file` is not empty, the JSON to that file; the JSON alone to stdout where it is "-".
// Throws Error where it cannot be written.
void report(const std::string& text, const std::string& json, const std::string& json_file);

}  // namespace squish::bench
