// What kernels for integer arithmetic (format/layout.h) are given, beside tasks.h. C++14, like device code.
//
// ACTIVATIONS LIE IN PLANES OF QUADS, [image][channels / 4][row][column][4], without a border: a thread owns a pixel (or two),
// and what the 32 lanes of a warp read for a cluster is 32 words side by side. Each activation is held in bytes or in floats,
// as the file says. Channels that a quad has beyond those of its segment hold anything; their weights are 0.
#pragma once

#include "cuda/tasks.h"

namespace squish {
namespace cuda {

// How an activation is held: as the values of bytes q, scale * (q - zero), or, where scale is 0, in floats.
struct Held {
  float scale, inverse;  // 1 / scale
  int zero;
};

// Data: void or const void.
template <typename Data>
struct HeldPlanes {
  Data* data;           // [images][quads][height][width], of ByteQuads or of four floats
  int64_t image_quads;  // from an image to the next
  int quads, height, width;
  Segments segments;
  Held held;
};

struct IntegerConvTask {
  Planes<const ByteQuad> in;  // a "channel" is a quad
  ByteQuad padding;           // what stands for zero, four times
  HeldPlanes<void> out;
  float* results;  // not null: where the output, in floats, goes instead, [images][channels][height][width]
  Clusters<ByteQuad> clusters;
  const float *factor, *term;  // [blocks][16]: from sums to results
  int low;                     // lower bound of results that are bytes
  int images;
  int stride_h, stride_w;
  int conv_height, conv_width;  // of the convolution's output, before pooling
  bool padded;                  // windows reach beyond the image
  int pixels;                   // that a thread owns: 1 or 2; not used where the output is pooled
  Tiling tiling;                // where the output is pooled
};

// The same clusters for tensor cores: four side by side are a step, of one block of 16 output channels or of two.
struct QuadBundles {
  const Bundle* bundles;
  const Tap* taps;          // [steps][4]: of a quad
  const ByteQuad* weights;  // [steps][width][32 lanes][2 output channels], see integer_conv_mma.cuh
  int bundle_count;
  int width;  // blocks that every bundle has weights for: 1 or 2
};

struct IntegerMmaTask {
  // Whose clusters say where blocks lie and what their sums begin with; neither their taps nor weights are used.
  IntegerConvTask conv;
  QuadBundles bundles;
  Divider image_pixels, row_pixels, tile_row_pixels;
  int tiles;        // of 16 pixels, that a warp computes: 1 or 2
  int slices;       // warps that share the sums of a pixel: 1, 2, 4 or 8
  int warps;        // of a block of threads
  int plane_quads;  // of a tile that is pooled: from a quad of channels to the next in shared memory
};

struct IntegerPoolTask {
  HeldPlanes<const void> in;
  HeldPlanes<void> out;  // held as `in`
  int images;
  int kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
};

struct IntegerAverageTask {
  HeldPlanes<const void> in;
  HeldPlanes<void> out;
  int images;
  float share;     // 1 / pixels
  float* results;  // not null: where the means, in floats, go instead, [images][channels]
};

struct IntegerAddTask {
  HeldPlanes<const void> a, b;
  HeldPlanes<void> out;  // whose channels lie as a's
  int images;
  float floor;
};

// The caller's images into the net's input, which is one quad: of uint8 pixels, normalised, or of floats.
struct IntegerInputTask {
  const uint8_t* pixels;  // [images][height][width][channels], or null
  const float* floats;    // [images][channels][height][width], or null
  HeldPlanes<void> out;
  int images;
  float scale[kMaxImageChannels], shift[kMaxImageChannels];
  int* not_finite;  // becomes 1 where a float is NaN or infinite
};

}  // namespace cuda
}  // namespace squish
