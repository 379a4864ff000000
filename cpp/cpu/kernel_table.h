// What every instruction set offers the CPU backend: plain functions over plain arguments.
//
// Included by the files of cpu/isa, which are compiled with their own -m flags: so nothing here but <stddef.h> and
// <stdint.h>, and no inline function, lest the copy that the linker keeps be one the CPU does not run.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace squish {

constexpr ptrdiff_t kBlockFloats = 16;  // of a pixel of one block
constexpr int kMaxBlocks = 2;           // of a group

// A group of 1 or 2 adjacent output blocks (16 channels each) over a band of output rows. Activations are blocked,
// [block][row][column][16], or planar on the input side (cpp/plan/layout.h). All strides are in floats.
//
// For each output pixel: output = max(floor or output, bias + sum over k of weights[k] * input[pixel + offsets[k]]): one
// column k is a cluster (a group of two: a pair of clusters side by side), its offset says which input channel at
// which kernel position.
struct ConvTask {
  const float* input;      // the pixel under kernel position (pad, pad) of the band's first output pixel
  ptrdiff_t input_row;     // from one output row's pixels to the next one's
  ptrdiff_t input_step;    // from one output pixel's to the next one's
  const float* weights;    // [columns][blocks][16]
  const int32_t* offsets;  // [columns]
  ptrdiff_t columns;
  const float* bias;  // [blocks][16]
  float floor;        // 0: ReLU; -infinity: none
  // Keep what the output holds where it is larger or NaN, instead of `floor`: pooling while computing.
  bool running_max;
  float* output;
  ptrdiff_t output_row, output_block;
  int rows, width;
};
using ConvKernel = void (*)(const ConvTask&);

// Winograd's F(2x2, 3x3): the input of one row of 4x4 tiles, 2 pixels apart, of one block, to 16 frequencies:
// output[f * frequency + 16 * tile], f = 4 * row + column.
struct WinogradInputTask {
  const float* input;  // the first tile's upper left pixel
  ptrdiff_t input_row;
  int tiles;
  float* output;
  ptrdiff_t frequency;
};

// And back: one row of 2x2 tiles of one block from products[f * frequency + 16 * tile], with bias and floor. `rows` (1 or
// 2) x `width` pixels are written: the last tile may hang over the edge. With pair_max two rows are written, whatever
// `rows`: the first, and the maximum of all.
struct WinogradOutputTask {
  const float* products;
  ptrdiff_t frequency;
  const float* bias;  // [16]
  float floor;
  float* output;
  ptrdiff_t output_row;
  int rows, width;
  bool pair_max;
};

// Max pooling: one row of windows of one block; NaN where a window holds NaN. The caller clips the windows' rows, the kernel their columns.
struct PoolTask {
  const float* input;   // column 0 of the windows' first row
  ptrdiff_t input_row;  // to the next row; may be negative
  int rows;             // under the windows
  int width;            // of the input
  int kernel_w, stride_w, pad_left;
  float* output;
  int windows;
};

// Adds the pixels of one block.
struct AverageTask {
  const float* input;
  ptrdiff_t input_row;
  int rows, width;
  float* output;  // [16]: the mean
};

// output = max(floor, a + b), `rows` rows of `floats` floats.
struct AddTask {
  const float *a, *b;
  float* output;
  ptrdiff_t a_row, b_row, output_row;
  ptrdiff_t floats;
  int rows;
  float floor;
};

// One row of uint8 pixels [width][channels] to normalised floats: output[c * plane + x] = scale[c] * pixel + shift[c].
struct PixelTask {
  const uint8_t* input;
  int width, channels;
  const float *scale, *shift;
  float* output;
  ptrdiff_t plane;
};

// Pixel steps that have their own convolution kernels, SqueezeNet's: planar input at stride 1 and 2, blocked at 1.
enum PixelStep { kStep1, kStep2, kStep16, kPixelSteps };

struct KernelTable {
  const char* isa;
  // Most blocks in a group. Two blocks whose clusters lie in the same places share each broadcast of an activation:
  // worth it where loads, not multiply-adds, are the limit.
  int max_group;
  double cluster_cost;  // time of a cluster at a pixel, in that of AVX2's: see forecast.h
  ConvKernel conv[kPixelSteps][kMaxBlocks];  // [step][blocks - 1]
  ConvKernel conv_any_step[kMaxBlocks];      // [blocks - 1]
  void (*winograd_input)(const WinogradInputTask&);
  void (*winograd_output)(const WinogradOutputTask&);
  void (*max_pool)(const PoolTask&);
  void (*average)(const AverageTask&);
  void (*add)(const AddTask&);
  void (*pixels)(const PixelTask&);
  bool (*all_finite)(const float*, ptrdiff_t);
};

// NOLINTBEGIN(readability-identifier-naming): constants, though the check takes what is extern for variables.
extern const KernelTable kScalarKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kNeonKernels;
// NOLINTEND(readability-identifier-naming)

}  // namespace squish
