// The pixels that warps compute on tensor cores: which they are, their sums, and what becomes of those.
#pragma once

#include "cuda/kernels/quad_input.cuh"
#include "cuda/kernels/tile.cuh"

namespace squish {
namespace cuda {

// Activations in blocks of 16 channels, where quads of sums go.
template <typename T>
struct Output {
  Quad<T>* quads;
  uint32_t image_quads, block_quads;

  __device__ explicit Output(const Planes<T>& out)
      : quads(reinterpret_cast<Quad<T>*>(out.data)),
        image_quads(static_cast<uint32_t>(out.image_stride / kQuad)),
        block_quads(static_cast<uint32_t>(out.height) * out.width * kBlockQuads) {}

  __device__ void write(int block, int quad, const Quad<T>& values, uint32_t image, uint32_t pixel) const {
    const uint32_t in_image = static_cast<uint32_t>(block) * block_quads + pixel * kBlockQuads + quad;
    store_at_once(quads + (image * image_quads + in_image), values);
  }

  // Two sums, not less than the floor. Through the type that is stored: rounding keeps the order of values.
  __device__ static Pair<T> finished(const Bundles<T>& convs, float first, float second) {
    Pair<T> pair, floor;
    set_pair(first, second, &pair);
    set_pair(convs.floor, convs.floor, &floor);
    keep_larger(floor, &pair);
    return pair;
  }
  __device__ static Quad<T> finished(const Bundles<T>& convs, const float (&sums)[kQuad]) {
    return make_quad(finished(convs, sums[0], sums[1]), finished(convs, sums[2], sums[3]));
  }
};

// Lanes of two neighbouring pairs of channels have those of the same two pixels: each gives the other one's away, and has a
// quad of one pixel. All lanes of the warp come here. `odd`: this lane's pair is the quad's second.
template <typename T>
__device__ inline Quad<T> exchange_pairs(const Pair<T>& of_first, const Pair<T>& of_second, bool odd) {
  const Pair<T> own = odd ? of_second : of_first, given = odd ? of_first : of_second;
  uint32_t words[sizeof(Pair<T>) / sizeof(uint32_t)];
  memcpy(words, &given, sizeof words);
  SQUISH_UNROLL
  for (uint32_t& word : words) word = __shfl_xor_sync(0xffffffffu, word, kStepQuads);
  const Pair<T> taken = bits_as<Pair<T>>(words);
  return odd ? make_quad(taken, own) : make_quad(own, taken);
}

// Writes a warp's sums. where(place, &image, &pixel): where the pixel at a place among the warp's lies; false where nowhere.
template <typename T, int kEights, int kWidth, typename Where>
__device__ inline void write_sums(const Output<T>& output, const Bundles<T>& convs, const Bundle& bundle,
                                  const TileSums<kEights, kWidth>& sums, const Where& where) {
  const int pair = lane_index() / kStepQuads, odd = pair % 2;
  SQUISH_UNROLL
  for (int eight = 0; eight < kEights; ++eight) {
    Quad<T> quads[kWidth];
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      const float (&of_pixels)[4] = sums.values[eight][n];
      quads[n] = exchange_pairs(Output<T>::finished(convs, of_pixels[0], of_pixels[2]),
                                Output<T>::finished(convs, of_pixels[1], of_pixels[3]), odd != 0);
    }
    uint32_t image, pixel;
    if (!where(sum_pixel(eight, odd), &image, &pixel)) continue;
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      if (n < bundle.blocks) output.write(bundle.first_block + n, pair / 2, quads[n], image, pixel);
    }
  }
}

// All pixels of all images, in reading order.
struct AllPixels {
  Divider image_pixels, row_pixels;
  uint32_t end;

  __device__ AllPixels(const Divider& of_image, const Divider& of_row, int images)
      : image_pixels(of_image), row_pixels(of_row), end(of_image.divisor * static_cast<uint32_t>(images)) {}

  __device__ OutputPixel operator()(uint32_t at) const {
    const uint32_t image = divide(at, image_pixels), in_image = at - image * image_pixels.divisor;
    const uint32_t y = divide(in_image, row_pixels);
    return {static_cast<int>(image), static_cast<int>(y),
            static_cast<int>(in_image - y * row_pixels.divisor)};
  }
};

// The pixels of a rectangle, which may lie partly outside of the image; reads are of the nearest inside.
struct RectanglePixels {
  Divider row_pixels;
  uint32_t end;
  int image, top, left, height, width;  // of the image

  __device__ RectanglePixels(const Divider& of_row, int rows, int in_image, int first_y, int first_x,
                             int image_height, int image_width)
      : row_pixels(of_row),
        end(of_row.divisor * static_cast<uint32_t>(rows)),
        image(in_image),
        top(first_y),
        left(first_x),
        height(image_height),
        width(image_width) {}

  __device__ OutputPixel anywhere(uint32_t at) const {
    const uint32_t row = divide(at, row_pixels);
    return {image, top + static_cast<int>(row), left + static_cast<int>(at - row * row_pixels.divisor)};
  }
  __device__ bool inside(const OutputPixel& at) const {
    const bool row = static_cast<unsigned>(at.y) < static_cast<unsigned>(height),
               column = static_cast<unsigned>(at.x) < static_cast<unsigned>(width);
    return row & column;  // && would branch
  }
  __device__ static int clip(int value, int end) { return value < 0 ? 0 : value < end ? value : end - 1; }
  __device__ OutputPixel operator()(uint32_t at) const {
    const OutputPixel pixel = anywhere(at);
    return {image, clip(pixel.y, height), clip(pixel.x, width)};
  }
};

// The sums of a warp's pixels, from the one that is `first` among `pixels`.
template <bool kPadded, typename T, int kEights, int kWidth, typename Pixels>
__device__ inline void sum_global(const Planes<const T>& in, const Bundles<T>& convs, const Bundle& bundle,
                                  int stride_h, int stride_w, const Pixels& pixels, uint32_t first, int slice,
                                  int slices, TileSums<kEights, kWidth>* sums) {
  GlobalQuads<T, kPadded, kEights> input(in);
  SQUISH_UNROLL
  for (int eight = 0; eight < kEights; ++eight) {
    const uint32_t at = first + read_pixel(eight);
    input.own(eight, pixels(at < pixels.end ? at : pixels.end - 1), stride_h,
              stride_w);  // beyond: nobody looks at it
  }
  add_slice(convs, bundle, slice, slices, input, sums);
}

// kOneLoop: as if windows always reached beyond the image.
template <bool kOneLoop, typename T, int kEights, int kWidth, typename Pixels>
__device__ inline void sum_pixels(const MmaConvTask<T>& task, const Bundle& bundle, const Pixels& pixels,
                                  uint32_t first, int slice, int slices, TileSums<kEights, kWidth>* sums) {
  if (kOneLoop || task.padded) {
    sum_global<true>(task.in, task.convs, bundle, task.stride_h, task.stride_w, pixels, first, slice, slices,
                     sums);
  } else {
    sum_global<false>(task.in, task.convs, bundle, task.stride_h, task.stride_w, pixels, first, slice, slices,
                      sums);
  }
}

// A warp's results into shared memory, for pooling: [pixels][KeptRow] of this bundle's channels.
template <typename T, int kEights, int kWidth>
__device__ inline void keep_results(const Bundles<T>& convs, const TileSums<kEights, kWidth>& sums,
                                    T* pixels) {
  constexpr int kRow = KeptRow<kWidth, static_cast<int>(sizeof(T))>::kValues;
  sums.each_pixel([&](uint32_t place, const typename TileSums<kEights, kWidth>::OfPixel& pixel_sums) {
    pixel_sums.each_block([&](int n, float first, float second) {
      *reinterpret_cast<Pair<T>*>(pixels + place * kRow + pair_channel(n)) =
          Output<T>::finished(convs, first, second);
    });
  });
}

// The maxima of a tile's windows into the output. The convolution's height and width clip the windows. A thread has 16 bytes.
template <typename T>
__device__ inline void pool_kept(const T* kept, int row_values, const Bundle& bundle, const Tile& tile,
                                 const Tiling& tiling, const Divider& row_pixels, int conv_height,
                                 int conv_width, const Planes<T>& out, int threads) {
  using Part = Quads<T>;
  constexpr int kBlockParts = kBlockQuads / Part::kCount;
  const int parts = bundle.blocks * kBlockParts, pixels = tiling.height * tiling.width;
  T* const image = out.data + blockIdx.z * out.image_stride;
  for (int i = thread_index(); i < pixels * parts; i += threads) {
    const int pixel = bundle.blocks == 1 ? i / kBlockParts : i / (2 * kBlockParts), part = i - pixel * parts;
    const auto row = static_cast<int>(divide(static_cast<uint32_t>(pixel), row_pixels));
    const int column = pixel - row * tiling.width;
    const int y = tile.out_top + row, x = tile.out_left + column;
    if (y >= out.height || x >= out.width) continue;
    const int last_row = conv_height - 2 * y - 1, last_column = conv_width - 2 * x - 1;
    const T* const window = kept + (2 * row * tile.width + 2 * column) * row_values + part * Part::kValues;
    Part best = *reinterpret_cast<const Part*>(window);
    SQUISH_UNROLL
    for (int k = 1; k < 9; ++k) {  // a pixel beyond the last is the last once more
      const int dy = k / 3 < last_row ? k / 3 : last_row, dx = k % 3 < last_column ? k % 3 : last_column;
      const Part other = *reinterpret_cast<const Part*>(window + (dy * tile.width + dx) * row_values);
      SQUISH_UNROLL
      for (int q = 0; q < Part::kCount; ++q) keep_larger(other.quads[q], &best.quads[q]);
    }
    const int64_t block = bundle.first_block + part / kBlockParts;
    store_at_once(image + ((block * out.height + y) * out.width + x) * kClusterChannels +
                      part % kBlockParts * Part::kValues,
                  best);
  }
}

}  // namespace cuda
}  // namespace squish
