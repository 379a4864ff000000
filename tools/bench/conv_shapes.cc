#include "bench/conv_shapes.h"

#include <cerrno>
#include <fstream>
#include <sstream>

#include "common/arguments.h"
#include "squish/error.h"

namespace squish::bench {
namespace {

void check(const ConvShape& shape) {
  const int channels_limit = 1 << 16, extent_limit = 1 << 14;
  const auto within = [](int value, int low, int high) { return value >= low && value <= high; };
  if (!within(shape.in_channels, 1, channels_limit) || !within(shape.out_channels, 1, channels_limit) ||
      !within(shape.height, 1, extent_limit) || !within(shape.width, 1, extent_limit) ||
      !within(shape.kernel, 1, 255) || !within(shape.stride, 1, 255) ||
      !within(shape.pad, 0, shape.kernel - 1)) {
    throw tools::UsageError("'" + shape.name + "': a number is too small or too large");
  }
  if (shape.height + 2 * shape.pad < shape.kernel || shape.width + 2 * shape.pad < shape.kernel) {
    throw tools::UsageError("'" + shape.name + "': the padded input is smaller than the kernel");
  }
}

ConvShape read_line(const std::string& line) {
  std::istringstream words(line);
  ConvShape s;
  words >> s.name >> s.in_channels >> s.out_channels >> s.height >> s.width >> s.kernel >> s.stride >> s.pad;
  std::string rest;
  if (!words || words >> rest) {
    throw tools::UsageError(
        "wanted a name and 7 numbers (input and output channels, height, width, kernel, stride, "
        "padding), got '" +
        line + "'");
  }
  check(s);
  return s;
}

}  // namespace

int64_t ConvShape::macs() const {
  return int64_t{in_channels} * out_channels * kernel * kernel * output_height() * output_width();
}

std::vector<ConvShape> read_conv_shapes(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  if (!file) throw IoError("open", path, errno);
  std::vector<ConvShape> shapes;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    line.erase(std::min(line.find('#'), line.size()));
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      shapes.push_back(read_line(line));
    } catch (const tools::UsageError& error) {
      throw tools::UsageError(path + ":" + std::to_string(number) + ": " + error.what());
    }
  }
  if (shapes.empty()) throw tools::UsageError(path + ": no shapes");
  return shapes;
}

}  // namespace squish::bench
