// A convolution's output pixels cut into tiles that registers hold: the same for every arithmetic.
//
// `Conv` says in which one: Task, Input, Output (the types of values), kMaxTile (accumulators of 16 channels), kMaxRows,
// tile<kRows, kPixels, kStep, kBlocks>(), output_step(), the values of output a pixel, and kPixelsTogether, which tiles do not
// part: 1 or 2.
#pragma once

#include <stddef.h>

#include "cpu/isa/unroll-inl.h"

namespace squish {
namespace {

constexpr int kBlockedStep = 16;  // values from pixel to pixel of blocked activations

// The tiles of 1 .. kCount pixels: kTable[pixels - 1]. kStep: values from a pixel's activations to the next one's; 0: only
// known at run time.
template <typename Conv, int kRows, int kStep, int kBlocks, typename Pixels>
struct TileTable;
template <typename Conv, int kRows, int kStep, int kBlocks, int... kPixels>
struct TileTable<Conv, kRows, kStep, kBlocks, Sequence<kPixels...>> {
  using Function = void (*)(const typename Conv::Task&, const typename Conv::Input*, typename Conv::Output*);
  static constexpr Function kTable[] = {&Conv::template tile<kRows, kPixels + 1, kStep, kBlocks>...};
};

// Rows of tiles as equal as they can be: a narrow last tile would leave the multipliers waiting for its few sums.
template <typename Conv, int kRows, int kStep, int kBlocks, int kMaxPixels>
void conv_row(const typename Conv::Task& task, const typename Conv::Input* input,
              typename Conv::Output* output) {
  using Table = TileTable<Conv, kRows, kStep, kBlocks, typename MakeSequence<kMaxPixels>::type>;
  const ptrdiff_t step = kStep ? kStep : task.input_step;
  constexpr int kTogether = Conv::kPixelsTogether, kMost = kMaxPixels / kTogether;
  const int all = (task.width + kTogether - 1) / kTogether, tiles = (all + kMost - 1) / kMost;
  const int narrow = all / tiles, wide_tiles = all % tiles;
  for (int t = 0, left = task.width; t < tiles; ++t) {
    int pixels = (narrow + (t < wide_tiles)) * kTogether;
    if (pixels > left) pixels = left;
    Table::kTable[pixels - 1](task, input, output);
    input += pixels * step;
    output += pixels * Conv::output_step(task);
    left -= pixels;
  }
}

// The widest tile that registers hold; where the step is not known, addresses need registers too, and no SqueezeNet
// has such a layer: a few small tiles will do.
template <typename Conv, int kRows, int kStep, int kBlocks>
constexpr int max_pixels() {
  const int pixels = Conv::kMaxTile / kBlocks / kRows;
  return kStep == 0 && pixels > 4 ? 4 : pixels;
}

// As many bands of kRows rows as there are; returns the rows done.
template <typename Conv, int kRows, int kStep, int kBlocks>
int conv_bands(const typename Conv::Task& task, int first_row) {
  constexpr int kMaxPixels = max_pixels<Conv, kRows, kStep, kBlocks>();
  int row = first_row;
  if constexpr (kMaxPixels > 0) {
    if (kRows > 1 && task.width > kMaxPixels) return row;
    for (; row + kRows <= task.rows; row += kRows) {
      conv_row<Conv, kRows, kStep, kBlocks, kMaxPixels>(task, task.input + row * task.input_row,
                                                        task.output + row * task.output_row);
    }
  }
  return row;
}

// Images narrower than half a tile take two or four rows at once.
template <typename Conv, int kStep, int kBlocks>
void conv(const typename Conv::Task& task) {
  int row = 0;
  if constexpr (kStep == kBlockedStep && Conv::kMaxRows >= 4) {
    row = conv_bands<Conv, 4, kStep, kBlocks>(task, row);
    row = conv_bands<Conv, 2, kStep, kBlocks>(task, row);
  }
  conv_bands<Conv, 1, kStep, kBlocks>(task, row);
}

}  // namespace
}  // namespace squish
