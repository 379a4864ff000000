#include "infer/ppm.h"

#include <cctype>
#include <cerrno>
#include <fstream>
#include <iostream>
#include <utility>

#include "squish/error.h"

namespace squish::infer {
namespace {

// Larger ones are not photographs, and the product of the sides must stay small.
constexpr int kMaxExtent = 1 << 15;

// The next number of the header; comments run from # to the end of the line.
int read_number(std::istream& file, const std::string& path) {
  while (std::isspace(file.peek()) || file.peek() == '#') {
    if (file.get() == '#') file.ignore(kMaxExtent, '\n');
  }
  int value = 0;
  if (!(file >> value) || value < 1 || value > kMaxExtent) {
    throw InvalidArgument("'" + path + "': its header wants width, height and maximum, each 1 to " +
                          std::to_string(kMaxExtent));
  }
  return value;
}

Image read_ppm(std::istream& file, const std::string& path) {
  char magic[2] = {};
  file.read(magic, 2);
  if (magic[0] != 'P' || (magic[1] != '5' && magic[1] != '6')) {
    throw InvalidArgument("'" + path + "': is no binary PPM (P6) or PGM (P5) image");
  }
  Image image;
  image.channels = magic[1] == '6' ? 3 : 1;
  image.width = read_number(file, path);
  image.height = read_number(file, path);
  const int maximum = read_number(file, path);
  if (maximum != 255) {
    throw InvalidArgument("'" + path + "': got a maximum of " + std::to_string(maximum) + ", must be 255");
  }
  file.get();  // the one space before the pixels
  const size_t row = static_cast<size_t>(image.width) * static_cast<size_t>(image.channels);
  // Row by row: a header that lies costs no memory.
  for (int y = 0; y < image.height; ++y) {
    image.pixels.resize(image.pixels.size() + row);
    file.read(reinterpret_cast<char*>(image.pixels.data() + image.pixels.size() - row),
              static_cast<std::streamsize>(row));
    if (!file) {
      throw InvalidArgument("'" + path + "': ends in row " + std::to_string(y) + " of " +
                            std::to_string(image.height));
    }
  }
  return image;
}

Image to_rgb(const Image& grey) {
  Image rgb{grey.height, grey.width, 3, {}};
  for (const uint8_t value : grey.pixels) rgb.pixels.insert(rgb.pixels.end(), 3, value);
  return rgb;
}

Image to_grey(const Image& rgb) {
  Image grey{rgb.height, rgb.width, 1, {}};
  for (size_t i = 0; i < rgb.pixels.size(); i += 3) {
    const int r = rgb.pixels[i], g = rgb.pixels[i + 1], b = rgb.pixels[i + 2];
    grey.pixels.push_back(static_cast<uint8_t>((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16));
  }
  return grey;
}

}  // namespace

Image read_ppm(const std::string& path) {
  if (path == "-") return read_ppm(std::cin, "standard input");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError("open", path, errno);
  return read_ppm(file, path);
}

Image with_channels(Image image, int channels) {
  if (image.channels == channels) return image;
  if (channels == 3) return to_rgb(image);
  if (channels == 1) return to_grey(image);
  throw InvalidArgument("image: got " + std::to_string(image.channels) + " channels, the net wants " +
                        std::to_string(channels));
}

}  // namespace squish::infer
