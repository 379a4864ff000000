// Convolution by clusters of 16 outputs x 4 inputs in int8: as conv-inl.h, with one multiplication of four bytes each in the
// place of four of floats.
//
// An instruction set brings Sums (16 int32), Cluster (the weights), Quad (four activations for all 16), Bytes (16) and what
// is called below; and, where kPixelsAtOnce is 2 or 4, the bytes of so many pixels that lie side by side.
#pragma once

#include "cpu/integer_kernels.h"
#include "cpu/isa/tiles-inl.h"

namespace squish {
namespace {

// kPooled: as IntegerKernels::conv_pooled.
template <bool kPooled>
struct IntegerTiles {
  using Task = IntegerConvTask;
  using Input = uint8_t;
  using Output = uint8_t;
  static constexpr int kMaxTile = kMaxIntegerTile, kMaxRows = kPooled ? 1 : 4,
                       kPixelsTogether = kPooled ? 2 : 1;

  static ptrdiff_t output_step(const IntegerConvTask& task) {
    if (kPooled) return kClusterOutputs / 2;
    return task.to_bytes ? ptrdiff_t{kClusterOutputs} : ptrdiff_t{kClusterOutputs * sizeof(float)};
  }
};

template <bool kPooled>
struct IntegerConv : IntegerTiles<kPooled> {
  template <int kRows, int kPixels, int kStep, int kBlocks>
  static void tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output);
};

// As many pixels as become bytes at once, from kFirst on: sums_of(i) has the sums of pixel i.
template <int kFirst, typename SumsOf>
SQUISH_ALWAYS_INLINE auto several_to_bytes(const SumsOf& sums_of, const float* factor, const float* term,
                                           int low) {
  if constexpr (kPixelsAtOnce == 4) {
    return to_bytes(sums_of(Index<kFirst>()), sums_of(Index<kFirst + 1>()), sums_of(Index<kFirst + 2>()),
                    sums_of(Index<kFirst + 3>()), factor, term, low);
  } else if constexpr (kPixelsAtOnce == 2) {
    return to_bytes(sums_of(Index<kFirst>()), sums_of(Index<kFirst + 1>()), factor, term, low);
  } else {
    return to_bytes(sums_of(Index<kFirst>()), factor, term, low);
  }
}

// kCount pixels side by side: put(i, bytes) takes those of pixel i, or of several from it on.
template <int kCount, typename SumsOf, typename Put>
SQUISH_ALWAYS_INLINE void put_bytes(const SumsOf& sums_of, const float* factor, const float* term, int low,
                                    const Put& put) {
  constexpr int kTurns = kCount / kPixelsAtOnce, kAlone = kCount % kPixelsAtOnce;
  unroll<kTurns>([&](auto i) SQUISH_LAMBDA_INLINE {
    put(i * kPixelsAtOnce, several_to_bytes<i * kPixelsAtOnce>(sums_of, factor, term, low));
  });
  unroll<kAlone>([&](auto i) SQUISH_LAMBDA_INLINE {
    constexpr int kPixel = kCount - kAlone + i;
    put(kPixel, to_bytes(sums_of(Index<kPixel>()), factor, term, low));
  });
}

// Windows of a pool begin at the even pixels of a tile. The one that begins at its last two goes on in the next tile, whose
// first pixel it takes when that is known.
template <int kPixels, typename SumsOf, typename Put>
SQUISH_ALWAYS_INLINE void put_pooled(const SumsOf& sums_of, const float* factor, const float* term, int low,
                                     uint8_t* output, bool first_tile, const Put& put) {
  if (!first_tile) {
    uint8_t* before = output - kClusterOutputs;
    store_bytes(before, max_bytes(to_bytes(sums_of(Index<0>()), factor, term, low), before));
  }
  const auto window = [&](auto i) SQUISH_LAMBDA_INLINE {
    const Sums two = max_sums(sums_of(Index<2 * i>()), sums_of(Index<2 * i + 1>()));
    if constexpr (2 * i + 2 < kPixels) return max_sums(two, sums_of(Index<2 * i + 2>()));
    return two;
  };
  put_bytes<kPixels / 2>(window, factor, term, low, put);
}

// A row of a tile, of block b, to bytes.
template <bool kPooled, int kRow, int kPixels, typename SumsOf, typename Block>
SQUISH_ALWAYS_INLINE void store_row(const IntegerConvTask& task, uint8_t* output, bool first_tile,
                                    const SumsOf& sums_of, Block b) {
  const ptrdiff_t first_lane = ptrdiff_t{b} * kClusterOutputs;
  const float *factor = task.factor + first_lane, *term = task.term + first_lane;
  uint8_t* row = output + b * task.output_block + kRow * task.output_row;
  const auto put = [&](ptrdiff_t pixel, auto bytes) SQUISH_LAMBDA_INLINE {
    uint8_t* to = row + pixel * kClusterOutputs;
    store_bytes(to, task.running_max ? max_bytes(bytes, to) : bytes);
  };
  const auto sums = [&](auto p) SQUISH_LAMBDA_INLINE { return sums_of(Index<kRow * kPixels + p>(), b); };
  if constexpr (kPooled) {
    put_pooled<kPixels>(sums, factor, term, task.low, row, first_tile, put);
  } else {
    put_bytes<kPixels>(sums, factor, term, task.low, put);
  }
}

// What becomes of the sums of a tile: sums_of(p, b) has those of pixel p and block b.
template <bool kPooled, int kRows, int kPixels, int kBlocks, typename SumsOf>
SQUISH_ALWAYS_INLINE void store_results(const IntegerConvTask& task, uint8_t* output, const SumsOf& sums_of) {
  constexpr ptrdiff_t kLanesOfBlock = kClusterOutputs, kPixelBytes = kClusterOutputs * sizeof(float);
  unroll<kBlocks>([&](auto b) SQUISH_LAMBDA_INLINE {
    if (kPooled || task.to_bytes) {
      unroll<kRows>([&](auto r) SQUISH_LAMBDA_INLINE {
        store_row<kPooled, r, kPixels>(task, output, output == task.output, sums_of, b);
      });
      return;
    }
    const float *factor = task.factor + b * kLanesOfBlock, *term = task.term + b * kLanesOfBlock;
    unroll<kRows * kPixels>([&](auto p) SQUISH_LAMBDA_INLINE {
      uint8_t* to =
          output + b * task.output_block + (p / kPixels) * task.output_row + p % kPixels * kPixelBytes;
      store_floats(to, sums_of(p, b), factor, term, task.floor);
    });
  });
}

template <bool kPooled>
template <int kRows, int kPixels, int kStep, int kBlocks>
void IntegerConv<kPooled>::tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output) {
  constexpr int kTile = kRows * kPixels;
  constexpr ptrdiff_t kLanesOfBlock = kClusterOutputs;
  ptrdiff_t step = kStep ? kStep : task.input_step;  // GCC 7 fails on a const one in the lambdas
  Sums sum[kTile][kBlocks];
  unroll<kBlocks>([&](auto b) SQUISH_LAMBDA_INLINE {
    const Sums start = load_sums(task.start + b * kLanesOfBlock);
    unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE { sum[p][b] = start; });
  });
  const uint8_t* weights = task.weights;
  for (ptrdiff_t k = 0; k < task.columns; ++k, weights += ptrdiff_t{kBlocks} * kClusterBytes) {
    const uint8_t* pixel = input + task.offsets[k];
    Cluster cluster[kBlocks];
    unroll<kBlocks>([&](auto b)
                        SQUISH_LAMBDA_INLINE { cluster[b] = load_cluster(weights + b * kClusterBytes); });
    unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE {
      const Quad quad = broadcast_quad(pixel + (p / kPixels) * task.input_row + (p % kPixels) * step);
      unroll<kBlocks>([&](auto b) SQUISH_LAMBDA_INLINE { sum[p][b] = dot(sum[p][b], cluster[b], quad); });
    });
  }
  store_results<kPooled, kRows, kPixels, kBlocks>(
      task, output, [&](auto p, auto b) SQUISH_LAMBDA_INLINE { return sum[p][b]; });
}

// Those of one and of two blocks; null where the instruction set takes no groups of two.
template <typename Conv, int kStep>
constexpr void set_conv_kernels(IntegerConvKernel (&kernels)[kMaxIntegerBlocks]) {
  kernels[0] = &conv<Conv, kStep, 1>;
  if constexpr (kMaxIntegerGroup >= 2) kernels[1] = &conv<Conv, kStep, 2>;
}

template <typename Conv>
constexpr void set_conv_kernels(IntegerConvKernel (&kernels)[kQuadSteps][kMaxIntegerBlocks]) {
  set_conv_kernels<Conv, 4>(kernels[kQuadStep4]);
  set_conv_kernels<Conv, 8>(kernels[kQuadStep8]);
  set_conv_kernels<Conv, 16>(kernels[kQuadStep16]);
  set_conv_kernels<Conv, 0>(kernels[kQuadAnyStep]);
}

}  // namespace
}  // namespace squish
