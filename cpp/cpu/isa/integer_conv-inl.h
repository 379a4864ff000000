// Convolution by clusters of 16 outputs x 4 inputs in int8: as conv-inl.h, with one multiplication of four bytes each in the
// place of four of floats.
//
// An instruction set brings Sums (16 int32), Cluster (the weights), Quad (four activations for all 16), Bytes (16) and what
// is called below; and, where kPixelsAtOnce is 4, the bytes of four pixels that lie side by side.
#pragma once

#include "cpu/integer_kernels.h"
#include "cpu/isa/tiles-inl.h"

namespace squish {
namespace {

struct IntegerConv {
  using Task = IntegerConvTask;
  using Input = uint8_t;
  using Output = uint8_t;
  static constexpr int kMaxTile = kMaxIntegerTile;

  static ptrdiff_t output_step(const IntegerConvTask& task) {
    return task.to_bytes ? ptrdiff_t{kClusterOutputs} : ptrdiff_t{kClusterOutputs * sizeof(float)};
  }
  template <int kRows, int kPixels, int kStep, int kBlocks>
  static void tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output);
};

// What becomes of the sums of a tile: sums_of(p, b) has those of pixel p and block b.
template <int kRows, int kPixels, int kBlocks, typename SumsOf>
SQUISH_ALWAYS_INLINE void store_results(const IntegerConvTask& task, uint8_t* output, const SumsOf& sums_of) {
  constexpr ptrdiff_t kLanesOfBlock = kClusterOutputs;
  const auto to = [&](auto p, auto b, ptrdiff_t value_bytes) SQUISH_LAMBDA_INLINE {
    return output + (p / kPixels) * task.output_row + (p % kPixels) * kClusterOutputs * value_bytes +
           b * task.output_block;
  };
  unroll<kBlocks>([&](auto b) SQUISH_LAMBDA_INLINE {
    const float *factor = task.factor + b * kLanesOfBlock, *term = task.term + b * kLanesOfBlock;
    if (!task.to_bytes) {
      unroll<kRows * kPixels>([&](auto p) SQUISH_LAMBDA_INLINE {
        store_floats(to(p, b, sizeof(float)), sums_of(p, b), factor, term, task.floor);
      });
      return;
    }
    const auto put = [&](uint8_t* at, auto bytes) SQUISH_LAMBDA_INLINE {
      store_bytes(at, task.running_max ? max_bytes(bytes, at) : bytes);
    };
    constexpr int kAtOnce = kPixels / kPixelsAtOnce, kAlone = kPixels % kPixelsAtOnce;
    if constexpr (kPixelsAtOnce == 4) {
      unroll<kRows * kAtOnce>([&](auto i) SQUISH_LAMBDA_INLINE {
        constexpr int kFirst = i / kAtOnce * kPixels + i % kAtOnce * 4;
        put(to(Index<kFirst>(), b, 1), to_bytes(sums_of(Index<kFirst>(), b), sums_of(Index<kFirst + 1>(), b),
                                                sums_of(Index<kFirst + 2>(), b),
                                                sums_of(Index<kFirst + 3>(), b), factor, term, task.low));
      });
    } else {
      unroll<kRows * kAtOnce>([&](auto p) SQUISH_LAMBDA_INLINE {
        put(to(p, b, 1), to_bytes(sums_of(p, b), factor, term, task.low));
      });
    }
    if constexpr (kAlone > 0) {
      unroll<kRows * kAlone>([&](auto i) SQUISH_LAMBDA_INLINE {
        constexpr int kAt = i / kAlone * kPixels + kAtOnce * kPixelsAtOnce + i % kAlone;
        put(to(Index<kAt>(), b, 1), to_bytes(sums_of(Index<kAt>(), b), factor, term, task.low));
      });
    }
  });
}

template <int kRows, int kPixels, int kStep, int kBlocks>
void IntegerConv::tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output) {
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
  store_results<kRows, kPixels, kBlocks>(task, output,
                                         [&](auto p, auto b) SQUISH_LAMBDA_INLINE { return sum[p][b]; });
}

// Or null where the instruction set takes no groups of two.
template <int kStep, int kBlocks>
constexpr IntegerConvKernel integer_conv_kernel() {
  if constexpr (kBlocks <= kMaxIntegerGroup) return &conv<IntegerConv, kStep, kBlocks>;
  return nullptr;
}

}  // namespace
}  // namespace squish
