// Reads images as boards without an image library have them: binary PPM (P6) and PGM (P5), 8 bits a channel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace squish::infer {

struct Image {
  int height = 0, width = 0, channels = 0;  // 3: RGB, 1: grey
  std::vector<uint8_t> pixels;              // [height][width][channels]
};

// "-" is the standard input. Throws squish::IoError where the file cannot be read, squish::InvalidArgument where it
// is no such image.
Image read_ppm(const std::string& path);

// Grey to RGB, RGB to grey (ITU-R 601's luma, as Pillow rounds it), or the same. Throws squish::InvalidArgument on any
// other change.
Image with_channels(Image image, int channels);

}  // namespace squish::infer
