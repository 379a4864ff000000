#include "infer/preprocess.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "squish/error.h"

namespace squish::infer {
namespace {

constexpr int64_t kMaxPixels = 1 << 28;

// Pillow's fixed-point weights: 8 bits of pixel and 2 of overshoot beside them in 32.
constexpr int kPrecision = 32 - 8 - 2;

struct Filter {
  double support;  // input pixels to each side, of an image that keeps its size
  double (*weight)(double);
};

double triangle(double x) { return std::max(1 - std::abs(x), 0.0); }

// Keys' cubic convolution with a = -0.5.
double cubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1) return ((kA + 2) * x - (kA + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * kA : 0;
}

Filter filter_of(Interpolation interpolation) {
  return interpolation == Interpolation::kBicubic ? Filter{2, &cubic} : Filter{1, &triangle};
}

// The input pixels that make one output pixel.
struct Taps {
  int begin;
  std::vector<int32_t> weights;  // of sum 1 << kPrecision
};

// NOLINTNEXTLINE(bugprone-incorrect-roundings): as Pillow rounds, what is below -0.5 becomes 0 later
int rounded(double x) { return static_cast<int>(x + 0.5); }

int32_t fixed_point(double weight) {
  return static_cast<int32_t>(weight * (1 << kPrecision) + (weight < 0 ? -0.5 : 0.5));
}

Taps taps_of(int pixel, int input, double scale, const Filter& filter) {
  const double stretch = std::max(scale, 1.0), support = filter.support * stretch;
  const double centre = (pixel + 0.5) * scale;
  const int begin = std::max(rounded(centre - support), 0);
  const int end = std::min(rounded(centre + support), input);
  std::vector<double> weights;
  double sum = 0;
  for (int i = begin; i < end; ++i) {
    weights.push_back(filter.weight((i - centre + 0.5) * (1 / stretch)));
    sum += weights.back();
  }
  Taps taps{begin, {}};
  for (const double weight : weights) taps.weights.push_back(fixed_point(sum == 0 ? weight : weight / sum));
  return taps;
}

// Pixels [outer][input][inner] to [outer][output][inner], rounded to whole values.
std::vector<uint8_t> resample(const std::vector<uint8_t>& pixels, size_t inner, int input, int output,
                              const Filter& filter) {
  if (input == output) return pixels;
  const double scale = static_cast<double>(input) / output;
  const size_t outer = pixels.size() / inner / static_cast<size_t>(input);
  std::vector<uint8_t> out(outer * static_cast<size_t>(output) * inner);
  for (int pixel = 0; pixel < output; ++pixel) {
    const Taps taps = taps_of(pixel, input, scale, filter);
    for (size_t o = 0; o < outer; ++o) {
      const uint8_t* from =
          &pixels[(o * static_cast<size_t>(input) + static_cast<size_t>(taps.begin)) * inner];
      uint8_t* to = &out[(o * static_cast<size_t>(output) + static_cast<size_t>(pixel)) * inner];
      for (size_t i = 0; i < inner; ++i) {
        int32_t sum = 1 << (kPrecision - 1);
        for (size_t k = 0; k < taps.weights.size(); ++k) sum += from[k * inner + i] * taps.weights[k];
        to[i] = static_cast<uint8_t>(std::clamp(sum >> kPrecision, 0, 255));
      }
    }
  }
  return out;
}

// The input pixel under the centre of each output pixel. Added up, not multiplied: so Pillow rounds.
std::vector<size_t> nearest(int input, int output) {
  const double step = static_cast<double>(input) / output;
  std::vector<size_t> from;
  double centre = step * 0.5;
  for (int i = 0; i < output; ++i, centre += step) {
    from.push_back(static_cast<size_t>(std::min(static_cast<int>(centre), input - 1)));
  }
  return from;
}

Image resize_nearest(const Image& image, int height, int width) {
  const std::vector<size_t> rows = nearest(image.height, height), columns = nearest(image.width, width);
  const auto channels = static_cast<size_t>(image.channels);
  Image out{height, width, image.channels, {}};
  out.pixels.reserve(rows.size() * columns.size() * channels);
  for (const size_t row : rows) {
    for (const size_t column : columns) {
      const auto pixel =
          image.pixels.begin() +
          static_cast<std::ptrdiff_t>((row * static_cast<size_t>(image.width) + column) * channels);
      out.pixels.insert(out.pixels.end(), pixel, pixel + image.channels);
    }
  }
  return out;
}

// The shorter side to `target`, the longer one cut to whole pixels.
Image resize_shorter_side(const Image& image, int target, Interpolation interpolation) {
  const int shorter = std::min(image.height, image.width), longer = std::max(image.height, image.width);
  const auto scaled = static_cast<int64_t>(static_cast<double>(int64_t{target} * longer) / shorter);
  if (scaled * target > kMaxPixels) {
    throw InvalidArgument("image: got " + std::to_string(image.height) + "x" + std::to_string(image.width) +
                          " pixels, they would be resized to " + std::to_string(target) + " by " +
                          std::to_string(scaled));
  }
  const bool upright = image.width <= image.height;
  const int other = static_cast<int>(scaled);
  return resize(image, upright ? other : target, upright ? target : other, interpolation);
}

// Where a centred crop begins; below 0 where it is the larger one. Halves to even, as Python rounds.
int crop_offset(int extent, int crop) {
  if (crop > extent) return -((crop - extent) / 2);
  return static_cast<int>(std::nearbyint((extent - crop) / 2.0));
}

// Black outside the image.
Image crop_centre(const Image& image, int height, int width) {
  const int top = crop_offset(image.height, height), left = crop_offset(image.width, width);
  const int first = std::max(left, 0), last = std::min(left + width, image.width);
  const auto channels = static_cast<size_t>(image.channels);
  const auto at = [channels](const Image& of, int y, int x) {
    return (static_cast<size_t>(y) * static_cast<size_t>(of.width) + static_cast<size_t>(x)) * channels;
  };
  Image out{height, width, image.channels, {}};
  out.pixels.resize(static_cast<size_t>(height) * static_cast<size_t>(width) * channels);
  for (int y = std::max(top, 0); y < std::min(top + height, image.height); ++y) {
    std::copy_n(&image.pixels[at(image, y, first)], static_cast<size_t>(last - first) * channels,
                &out.pixels[at(out, y - top, first - left)]);
  }
  return out;
}

}  // namespace

Image resize(const Image& image, int height, int width, Interpolation interpolation) {
  if (height == image.height && width == image.width) return image;
  if (interpolation == Interpolation::kNearest) return resize_nearest(image, height, width);
  const Filter filter = filter_of(interpolation);
  const auto channels = static_cast<size_t>(image.channels);
  const auto across = [&](const Image& of) {
    return Image{of.height, width, of.channels, resample(of.pixels, channels, of.width, width, filter)};
  };
  const auto down = [&](const Image& of) {
    const size_t row = static_cast<size_t>(of.width) * channels;
    return Image{height, of.width, of.channels, resample(of.pixels, row, of.height, height, filter)};
  };
  // Pixels are rounded between, so the order matters: as Pillow 13 chooses it, before which rows came first always.
  const int shorter = image.height - height, narrower = image.width - width;
  return shorter > 0 && shorter > 2 * narrower ? across(down(image)) : down(across(image));
}

Image preprocess(const Image& image, const InputDescription& input) {
  if (int64_t{input.height} * input.width > kMaxPixels) {
    throw InvalidArgument("net: its input has " + std::to_string(input.height) + "x" +
                          std::to_string(input.width) + " pixels, at most 2^28 are read from an image");
  }
  const Image source = with_channels(image, input.channels);
  if (input.resize == 0) return resize(source, input.height, input.width, input.interpolation);
  return crop_centre(resize_shorter_side(source, input.resize, input.interpolation), input.height,
                     input.width);
}

}  // namespace squish::infer
