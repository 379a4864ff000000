// Shapes of convolutions to measure, read from a text file.
#pragma once

#include <string>
#include <vector>

#include "format/write.h"

namespace squish::bench {

// A square kernel with the same stride and padding on all sides.
struct ConvShape {
  std::string name;
  int in_channels = 0, out_channels = 0;
  int height = 0, width = 0;  // of the input
  int kernel = 1, stride = 1, pad = 0;

  int output_height() const { return (height + 2 * pad - kernel) / stride + 1; }
  int output_width() const { return (width + 2 * pad - kernel) / stride + 1; }
  int64_t macs() const;
};

// One a line: name, input and output channels, height, width, kernel, stride, padding, between blanks. From a '#' to
// the end of the line is comment. Throws IoError, or UsageError with the line's number.
std::vector<ConvShape> read_conv_shapes(const std::string& path);

}  // namespace squish::bench
