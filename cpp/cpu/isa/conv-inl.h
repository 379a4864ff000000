// Convolution by clusters: one kernel for every kernel size and every density.
//
// A tile is kRows x kPixels output pixels of kBlocks output blocks, held in registers. For each living cluster its 16
// weights are loaded once and multiplied with one activation of every pixel of the tile. As pixels lie a constant
// step apart, their addresses are immediates; the cost is linear in the clusters that live.
#pragma once

#include "cpu/isa/unroll-inl.h"
#include "cpu/kernel_table.h"

namespace squish {
namespace {

// kStep: floats from a pixel's activations to the next one's; 0: only known at run time.
template <int kRows, int kPixels, int kStep, int kBlocks>
void conv_tile(const ConvTask& task, const float* input, float* output) {
  constexpr int kTile = kRows * kPixels;
  const ptrdiff_t step = kStep ? kStep : task.input_step;
  Vec sum[kTile][kBlocks][kVecs];
  unroll<kBlocks * kVecs>([&](auto i) SQUISH_LAMBDA_INLINE {
    const Vec bias = load(task.bias + i * kLanes);
    unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE { sum[p][i / kVecs][i % kVecs] = bias; });
  });
  const float* weights = task.weights;
  for (ptrdiff_t k = 0; k < task.columns; ++k, weights += kBlocks * kBlockFloats) {
    const float* pixel = input + task.offsets[k];
    Vec weight[kBlocks][kVecs];
    unroll<kBlocks * kVecs>(
        [&](auto i) SQUISH_LAMBDA_INLINE { weight[i / kVecs][i % kVecs] = load(weights + i * kLanes); });
    unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE {
      const Vec activation = broadcast(pixel + (p / kPixels) * task.input_row + (p % kPixels) * step);
      unroll<kBlocks * kVecs>([&](auto i) SQUISH_LAMBDA_INLINE {
        Vec& s = sum[p][i / kVecs][i % kVecs];
        s = mul_add(weight[i / kVecs][i % kVecs], activation, s);
      });
    });
  }
  const auto to = [&](auto p, auto i) SQUISH_LAMBDA_INLINE {
    return output + (p / kPixels) * task.output_row + (p % kPixels) * kBlockFloats +
           (i / kVecs) * task.output_block + (i % kVecs) * kLanes;
  };
  const Vec floor = broadcast(&task.floor);
  if (task.running_max) {
    unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE {
      unroll<kBlocks * kVecs>([&](auto i) SQUISH_LAMBDA_INLINE {
        const Vec s = sum[p][i / kVecs][i % kVecs];
        store(to(p, i), max_or_nan(load(to(p, i)), s));
      });
    });
  } else {
    unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE {
      unroll<kBlocks * kVecs>([&](auto i) SQUISH_LAMBDA_INLINE {
        const Vec s = sum[p][i / kVecs][i % kVecs];
        store(to(p, i), max(floor, s));
      });
    });
  }
}

using TileFunction = void (*)(const ConvTask&, const float*, float*);

// The tiles of 1 .. kCount pixels: kTable[pixels - 1].
template <int kRows, int kStep, int kBlocks, typename Pixels>
struct TileTable;
template <int kRows, int kStep, int kBlocks, int... kPixels>
struct TileTable<kRows, kStep, kBlocks, Sequence<kPixels...>> {
  static constexpr TileFunction kTable[] = {&conv_tile<kRows, kPixels + 1, kStep, kBlocks>...};
};

// Rows of tiles as equal as they can be: a narrow last tile would leave the multipliers waiting for its few sums.
template <int kRows, int kStep, int kBlocks, int kMaxPixels>
void conv_row(const ConvTask& task, const float* input, float* output) {
  using Table = TileTable<kRows, kStep, kBlocks, typename MakeSequence<kMaxPixels>::type>;
  const ptrdiff_t step = kStep ? kStep : task.input_step;
  const int tiles = (task.width + kMaxPixels - 1) / kMaxPixels;
  const int narrow = task.width / tiles, wide_tiles = task.width % tiles;
  for (int t = 0; t < tiles; ++t) {
    const int pixels = narrow + (t < wide_tiles);
    Table::kTable[pixels - 1](task, input, output);
    input += pixels * step;
    output += pixels * kBlockFloats;
  }
}

// The widest tile that registers hold; where the step is not known, addresses need registers too, and no SqueezeNet
// has such a layer: a few small tiles will do.
template <int kRows, int kStep, int kBlocks>
constexpr int max_pixels() {
  const int pixels = kMaxTile / kBlocks / kRows;
  return kStep == 0 && pixels > 4 ? 4 : pixels;
}

// As many bands of kRows rows as there are; returns the rows done.
template <int kRows, int kStep, int kBlocks>
int conv_bands(const ConvTask& task, int first_row) {
  constexpr int kMaxPixels = max_pixels<kRows, kStep, kBlocks>();
  int row = first_row;
  if constexpr (kMaxPixels > 0) {
    if (kRows > 1 && task.width > kMaxPixels) return row;
    for (; row + kRows <= task.rows; row += kRows) {
      conv_row<kRows, kStep, kBlocks, kMaxPixels>(task, task.input + row * task.input_row,
                                                  task.output + row * task.output_row);
    }
  }
  return row;
}

// Images narrower than half a tile take two or four rows at once.
template <int kStep, int kBlocks>
void conv(const ConvTask& task) {
  int row = 0;
  if constexpr (kStep == kBlockFloats) {
    row = conv_bands<4, kStep, kBlocks>(task, row);
    row = conv_bands<2, kStep, kBlocks>(task, row);
  }
  conv_bands<1, kStep, kBlocks>(task, row);
}

// conv<kStep, kBlocks>, or null where the instruction set takes no groups of two.
template <int kStep, int kBlocks>
constexpr ConvKernel conv_kernel() {
  if constexpr (kBlocks <= kMaxGroup) return &conv<kStep, kBlocks>;
  return nullptr;
}

}  // namespace
}  // namespace squish
