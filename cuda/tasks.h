// What kernels are given: plain structs, passed by value from the host. C++14, like device code.
//
// WHY ACTIVATIONS ARE PLANAR, [image][channel][row][column], without a border: a thread owns a pixel (or two) and the
// threads of a warp own neighbours in a row, so one cluster's activations are 32 neighbouring values of one channel: one
// coalesced load. The CPU's blocks of 16 channels would make it 32 loads 64 bytes apart. Segments need no padding
// either, since a thread writes one channel at a time; concatenation is still nothing at all. A border would have to be
// cleared by a launch or a branch of its own, as arena memory is reused; instead whoever reads a padded window looks
// where it is (kPadded), and a whole Fire, which holds most of the arithmetic, has its border in shared memory.
#pragma once

#include <stdint.h>

namespace squish {
namespace cuda {

constexpr int kClusterChannels = 16;          // output channels that a thread accumulates
constexpr int kThreads = 128;                 // of every block
constexpr int kMaxTilePixels = kThreads;      // of a convolution's output: a thread owns one
constexpr int kMaxHaloPixels = 2 * kThreads;  // of a Fire's squeeze: a thread owns two
constexpr int kChunkTaps = 64;                // clusters whose weights are in shared memory at a time
constexpr int kHalfTaps = 32;  // whose products are added in f16, before their sum goes to float32

template <typename T>
struct Planes {
  T* data;               // [images][channels / step][height][width][step]
  int64_t image_stride;  // values: a multiple of step
  int channels, height, width;
  int step;  // values from a pixel to its right neighbour: 1; 16 in blocks, 4 in those of the input
};

// Four channels of a pixel, a byte each, the first in the lowest bits; or a filter's four weights for them. See
// integer_tasks.h.
struct ByteQuad {
  uint32_t bits;
};

// What is added up, by the type of what is multiplied.
template <typename T>
struct SumOf {
  using Type = float;
};
template <>
struct SumOf<ByteQuad> {
  using Type = int32_t;
};

// Where an activation lies, seen from the output pixel.
struct alignas(8) Tap {
  int32_t offset;  // values (quads on tensor cores), from (stride * row, stride * column) of channel 0
  int16_t dy, dx;
};

// Up to 16 output channels that threads compute together, and the clusters that live among them.
struct OutputBlock {
  int64_t first_tap;
  int taps;
  int first_channel, channels;
};

template <typename T>
struct Clusters {
  const OutputBlock* blocks;
  const Tap* taps;                      // of all blocks
  const T* weights;                     // [taps][16]
  const typename SumOf<T>::Type* bias;  // [blocks][16]: what sums begin with
  float floor;                          // lower bound of results in floats: 0 for a ReLU, else minus infinity
  int block_count;
};

// The part of an image that a block of threads computes, in pixels of the op's output.
struct Tiling {
  int height, width;  // of a tile
  int rows, columns;  // tiles
};

template <typename T>
struct ConvTask {
  Planes<const T> in;
  Planes<T> out;
  Clusters<T> clusters;
  int images;
  int stride_h, stride_w;
  int conv_height, conv_width;  // of the convolution's output, before pooling
  bool padded;                  // windows reach beyond the image
  int pixels;                   // that a thread owns: 1 or 2; not used where the output is pooled
  Tiling tiling;                // where the output is pooled
};

// A whole Fire: the squeeze of a tile and its halo stays in shared memory, where the taps of the expands point.
template <typename T>
struct FireTask {
  Planes<const T> in;
  Planes<T> out;
  Clusters<T> squeeze, expands;
  int images;
  int squeeze_channels;
  int splits;  // blocks of threads that share a tile's expands, each with the tile's squeeze computed anew
  bool pooled;
  Tiling tiling;
};

// ON TENSOR CORES a warp computes 16 pixels by 16 or 32 output channels, and a lane reads four channels of a pixel at
// once. Activations then lie in blocks of 16 channels, as the CPU's, without a border: the quads of neighbouring pixels and
// of one block are one run of memory. A step of the sum is four quads wherever they lie: of a dense layer the 16 channels
// of a block, of a sparse one the four next in which a cluster lives. The net's input lies in blocks of 4 channels: RGB
// and a zero.
constexpr int kQuad = 4;       // channels
constexpr int kStepQuads = 4;  // quads that a step adds
constexpr int kLanes = 32;     // of a warp
constexpr int kTilePixels = 16;
constexpr int kTileEights = kTilePixels / 8;  // a tensor core multiplies eight pixels at once
constexpr int kMaxWarps = 8;                  // of a block of threads
// Values from a pixel to the next one in shared memory, of `width` blocks and what keeps the banks of four pixels apart that
// lanes write pairs of at once: each is 8 or 24 words beyond a multiple of 32.
template <int kWidth, int kValueBytes>
struct KeptRow {
  static constexpr int kValues =
      kWidth * kClusterChannels + (kValueBytes == 2 ? (kWidth - 1) * kClusterChannels : 8);
};
constexpr int kMaxPooledPixels = 256;  // of a convolution's output, that a block of threads pools

// How channels lie in blocks: the first of them, then the others from a block of their own on. Planar: anyhow.
struct Segments {
  int first, channels;
};

// Up to two blocks of 16 output channels that a warp computes together, from the same quads.
struct Bundle {
  int first_step, steps;
  int first_block, blocks;
};

template <typename T>
struct Bundles {
  const Bundle* bundles;
  const Tap* taps;    // [steps][4]: of a quad; offsets in quads
  const T* weights;   // [steps][width][32 lanes][2 pairs of a quad][2 output channels][2], see bundles.cuh
  const float* bias;  // [blocks][16]
  float floor;        // lower bound of results
  int bundle_count;
  int width;  // blocks that every bundle has weights for: 1 or 2
};

// Division of a number below 2^31 by one that the host knows.
struct Divider {
  uint32_t divisor, factor;
  int shift;
};

// A convolution on tensor cores.
template <typename T>
struct MmaConvTask {
  Planes<const T> in;
  Planes<T> out;   // in blocks
  float* results;  // not null: where the output goes instead, [images][channels][height][width]
  Segments segments;
  Bundles<T> convs;
  int images;
  int stride_h, stride_w;
  int conv_height, conv_width;  // of the convolution's output, before pooling
  Divider image_pixels, row_pixels, tile_row_pixels, pooled_row_pixels;
  bool padded;    // windows reach beyond the image
  int tiles;      // of 16 pixels, that a warp computes: 1 or 2
  int slices;     // warps that share the sums of a pixel: 1, 2, 4 or 8
  int warps;      // of a block of threads
  Tiling tiling;  // where the output is pooled
};

// A whole Fire on tensor cores.
template <typename T>
struct MmaFireTask {
  Planes<const T> in;
  Planes<T> out;
  Bundles<T> squeeze, expands;  // whose taps point into shared memory
  int images;
  int squeeze_blocks;  // of 16 channels
  Divider tile_row_pixels, halo_row_pixels, pooled_row_pixels;
  int splits;  // blocks of threads that share a tile's expands, each with the tile's squeeze computed anew
  int warps;
  bool pooled;
  Tiling tiling;
};

template <typename T>
struct PoolTask {
  Planes<const T> in;
  Planes<T> out;
  int images;
  int kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
};

template <typename T>
struct AverageTask {
  Planes<const T> in;
  Planes<T> out;
  int images;
  float* results;  // not null: where the means go instead, [images][result_channels]
  int result_channels;
};

template <typename T>
struct AddTask {
  Planes<const T> a, b;
  Planes<T> out;  // whose channels lie as a's
  int images;
  Segments a_segments, b_segments;
  float floor;
};

constexpr int kMaxImageChannels = 4;

constexpr int kReadPixels = 4;  // of a thread that makes quads

// The caller's images into quads, for tensor cores: of uint8 pixels, normalised, or of floats.
template <typename T>
struct QuadsTask {
  const uint8_t* pixels;  // [images][height][width][channels], or null
  const float* floats;    // [images][channels][height][width], or null
  Planes<T> out;          // in blocks of 4
  int images, channels;
  float scale[kMaxImageChannels], shift[kMaxImageChannels];
  int* not_finite;  // becomes 1 where a float is NaN or infinite
};

// The caller's images into the net's input.
template <typename T>
struct PixelsTask {
  const uint8_t* pixels;  // [images][height][width][channels]
  Planes<T> out;
  int images;
  float scale[kMaxImageChannels], shift[kMaxImageChannels];
};
template <typename T>
struct FloatsTask {
  const float* values;
  T* out;  // may be `values`
  int64_t count;
  int* not_finite;  // becomes 1 where a value is NaN or infinite
};

// The net's output as the caller's floats, where it is stored in another type or order.
template <typename T>
struct ResultsTask {
  Planes<const T> in;
  float* out;  // [images][channels][height][width]
  int images;
  Segments segments;
};

}  // namespace cuda
}  // namespace squish
