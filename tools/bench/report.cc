#include "bench/report.h"

#include <cstdio>

#include "replace_file.h"

namespace squish::bench {

void report(const std::string& text, const std::string& json, const std::string& json_file) {
  const bool json_alone = json_file == "-";
  std::fputs(json_alone ? json.c_str() : text.c_str(), stdout);
  if (!json_alone && !json_file.empty()) replace_file(json_file, json.data(), json.size());
}

}  // namespace squish::bench
