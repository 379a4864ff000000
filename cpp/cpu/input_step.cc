// The first step: the caller's image into the net's input buffer.
#include <algorithm>

#include "cpu/steps.h"

namespace squish {
namespace {

// Planes with a border, row by row.
void fill_planar(const KernelTable& kernels, const ImageBatch& batch, const uint8_t* image,
                 const Normalisation& norm, MutableView out, int y) {
  const Layout& layout = *out.layout;
  const int channels = layout.channels(), width = layout.width;
  if (batch.format == PixelFormat::kU8Nhwc) {
    const uint8_t* row = image + int64_t{y} * width * channels;
    kernels.pixels(
        {row, width, channels, norm.scale.data(), norm.shift.data(), out.pixel(0, y, 0), out.block_step()});
    return;
  }
  const auto* planes = reinterpret_cast<const float*>(image);
  for (int c = 0; c < channels; ++c) {
    std::copy_n(planes + (int64_t{c} * layout.height + y) * width, width, out.pixel(c, y, 0));
  }
}

// Blocks of 16 channels, of which an image fills 1 to 4: only for nets that do not begin with a convolution.
void fill_blocked(const ImageBatch& batch, const uint8_t* image, const Normalisation& norm, MutableView out,
                  int y) {
  const Layout& layout = *out.layout;
  const int channels = layout.channels(), width = layout.width;
  const auto* planes = reinterpret_cast<const float*>(image);
  for (int x = 0; x < width; ++x) {
    float* pixel = out.pixel(0, y, x);
    std::fill_n(pixel, kChannelBlock, 0.0f);
    for (int c = 0; c < channels; ++c) {
      const auto channel = static_cast<size_t>(c);
      pixel[c] =
          batch.format == PixelFormat::kU8Nhwc
              ? static_cast<float>(image[(int64_t{y} * width + x) * channels + c]) * norm.scale[channel] +
                    norm.shift[channel]
              : planes[(int64_t{c} * layout.height + y) * width + x];
    }
  }
}

}  // namespace

void run_input(const KernelTable& kernels, const ImageBatch& batch, const uint8_t* image,
               const Normalisation& norm, MutableView out, Share share) {
  const Range rows = share_of(out.layout->height, share);
  for (int block = 0; block < out.layout->blocks(); ++block) clear_border(out, block, rows);
  for (int y = rows.begin; y < rows.end; ++y) {
    if (out.layout->block == kPlaneBlock) {
      fill_planar(kernels, batch, image, norm, out, y);
    } else {
      fill_blocked(batch, image, norm, out, y);
    }
  }
}

}  // namespace squish
