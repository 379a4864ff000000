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

template <typename T>
struct Planes {
  T* data;               // [images][channels][height][width]
  int64_t image_stride;  // values
  int channels, height, width;
};

// Where a cluster's activation lies, seen from the output pixel.
struct Tap {
  int32_t offset;  // values, from (stride * row, stride * column) of channel 0
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
  const Tap* taps;    // of all blocks
  const T* weights;   // [taps][16]
  const float* bias;  // [blocks][16]
  float floor;        // lower bound of results: 0 for a ReLU, else minus infinity
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
  int pixels;                   // that a thread owns: 1 or 2; not used where the output is pooled or averaged
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
};

template <typename T>
struct AddTask {
  const T *a, *b;
  T* out;
  int64_t values;
  float floor;
};

constexpr int kMaxImageChannels = 4;

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

// The net's output as the caller's floats, where it is stored in another type.
template <typename T>
struct ResultsTask {
  const T* values;
  float* out;
  int64_t count;
};

}  // namespace cuda
}  // namespace squish
