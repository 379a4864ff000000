// What instruction sets offer for integer arithmetic (format/layout.h): activations in bytes, weights in int8, sums in
// int32. What they compute is the same on all of them, to the bit.
//
// Included by the files of cpu/isa, as kernel_table.h is, and with the same care.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace squish {

constexpr int kClusterOutputs = 16, kClusterInputs = 4;
constexpr int kMaxIntegerBlocks = 2;  // of a group

// 1.5 * 2^23: added to it a float from 0 to 255 has no place for a fraction, which is rounded away, to even; the lowest byte of
// the sum is the result.
constexpr float kNoFraction = 0x1.8p23f;

// A group of 1 or 2 adjacent output blocks (16 channels each) over a band of output rows. Activations are blocked, [block][row]
// [column][16], or, the net's input, in quads, [row][column][4]. All strides are in bytes.
//
// An activation lies in its byte less the kernels' activation_offset, modulo 256: as it is, or, where instructions multiply
// signed bytes, from -128 to 127.
//
// For each output pixel: sum = start + sum over k of weights[k] * input[pixel + offsets[k] .. + 3], the bytes unsigned or
// signed: one column k is a cluster of 16 outputs x 4 inputs (a group of two: a pair of them).
struct IntegerConvTask {
  const uint8_t* input;    // the pixel under kernel position (pad, pad) of the band's first output pixel
  ptrdiff_t input_row;     // from one output row's pixels to the next one's
  ptrdiff_t input_step;    // from one output pixel's to the next one's
  const uint8_t* weights;  // [columns][blocks] clusters, as pack() has laid them
  const int32_t* offsets;  // [columns]
  ptrdiff_t columns;
  const int32_t* start;        // [blocks][16]
  const float *factor, *term;  // [blocks][16]
  // true: an activation, sum * factor + term rounded to an integer from `low` to 255; with running_max, or the one that
  // the output holds where that is larger. false: max(floor, sum * factor + term), in a float.
  bool to_bytes;
  int low;
  bool running_max;
  float floor;
  uint8_t* output;
  ptrdiff_t output_row, output_block;
  int rows, width;
};
using IntegerConvKernel = void (*)(const IntegerConvTask&);

// Max pooling: as PoolTask.
struct BytePoolTask {
  const uint8_t* input;
  ptrdiff_t input_row;
  int rows;
  int width;
  int kernel_w, stride_w, pad_left;
  uint8_t* output;
  int windows;
};

// One row of the net's input to quads of activations: x * inverse + zero, rounded to an integer from 0 to 255. Those of
// channels that there are not are 0. Returns whether all x are finite.
struct QuadTask {
  // One of: uint8 [width][channels], of which x = scale[c] * pixel + shift[c]; x itself, [channels] planes.
  const uint8_t* pixels;
  const float* values;
  ptrdiff_t plane;  // of values
  int width, channels;
  const float *scale, *shift;
  float inverse, zero;
  uint8_t* output;
};

// Rows of photographs' uint8 pixels to quads, by tables: bytes[c][pixel] is what the quad holds of colour c. Its
// fourth byte is 0.
struct RgbQuadTask {
  const uint8_t* pixels;  // [rows][width][3]
  const uint8_t* bytes;   // [3][256]
  int rows, width;
  uint8_t* output;
  ptrdiff_t output_row;
};
using RgbQuadKernel = void (*)(const RgbQuadTask&);

// Steps from pixel to pixel that have their own kernels: quads at stride 1 and 2, blocks of 16 at 1; and all others.
enum QuadStep { kQuadStep4, kQuadStep8, kQuadStep16, kQuadAnyStep, kQuadSteps };

// Times, in that of a 16x1 cluster at one pixel in floats on AVX2: see forecast.h. Fitted to 20 SqueezeNets on Zen 4 where
// nothing else is said.
struct IntegerCosts {
  double cluster;          // of 16x4, at a pixel
  double cluster_of_int4;  // with weights that a file holds in 4 bits
  double result;           // of 16 outputs at a pixel, more than in floats
};

struct IntegerKernels {
  const char* isa;
  IntegerCosts costs;
  int max_group;          // most blocks in a group
  int activation_offset;  // 0 or 128: see IntegerConvTask
  int cluster_bytes;
  // Whether they are fastest where columns, two by two from the first on, lie side by side in the input.
  bool column_pairs;
  // Lays the clusters of a group, int8 [16 outputs][4 inputs] each and at least one, in the kernels' order.
  void (*pack)(const int8_t* clusters, ptrdiff_t count, uint8_t* packed);
  IntegerConvKernel conv[kQuadSteps][kMaxIntegerBlocks];  // [step][blocks - 1]
  // One row to bytes, pooled along, 3 wide with stride 2: of each two pixels of the row one, which has the largest activations
  // of them and of the pixel after them, if there is one. An odd last pixel has none of its own. Factors are not negative, as scales
  // are not: so the largest sum becomes the largest activation.
  IntegerConvKernel conv_pooled[kQuadSteps][kMaxIntegerBlocks];
  void (*max_pool)(const BytePoolTask&);
  bool (*quads)(const QuadTask&);
};

// NOLINTBEGIN(readability-identifier-naming): as in kernel_table.h
extern const IntegerKernels kScalarIntegers;
extern const IntegerKernels kAvx2Integers;
extern const IntegerKernels kAvxvnniIntegers;
extern const IntegerKernels kAvx512vnniIntegers;
extern const RgbQuadKernel kAvx512vbmiRgbQuads;
extern const IntegerKernels kNeonIntegers;
extern const IntegerKernels kNeondotIntegers;
extern const IntegerKernels kNeoni8mmIntegers;
// NOLINTEND(readability-identifier-naming)

}  // namespace squish
