// Convolution by clusters: one kernel for every kernel size and every density.
//
// A tile is kRows x kPixels output pixels of kBlocks output blocks, held in registers. For each living cluster its 16
// weights are loaded once and multiplied with one activation of every pixel of the tile. As pixels lie a constant
// step apart, their addresses are immediates; the cost is linear in the clusters that live.
#pragma once

#include "cpu/isa/tiles-inl.h"
#include "cpu/kernel_table.h"

namespace squish {
namespace {

struct FloatConv {
  using Task = ConvTask;
  using Input = float;
  using Output = float;
  static constexpr int kMaxTile = squish::kMaxTile, kMaxRows = 4, kPixelsTogether = 1;

  static constexpr ptrdiff_t output_step(const ConvTask&) { return kBlockFloats; }
  template <int kRows, int kPixels, int kStep, int kBlocks>
  static void tile(const ConvTask& task, const float* input, float* output);
};

template <int kRows, int kPixels, int kStep, int kBlocks>
void FloatConv::tile(const ConvTask& task, const float* input, float* output) {
  constexpr int kTile = kRows * kPixels;
  ptrdiff_t step = kStep ? kStep : task.input_step;  // GCC 7 fails on a const one in the lambdas
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

// conv<FloatConv, kStep, kBlocks>, or null where the instruction set takes no groups of two.
template <int kStep, int kBlocks>
constexpr ConvKernel conv_kernel() {
  if constexpr (kBlocks <= kMaxGroup) return &conv<FloatConv, kStep, kBlocks>;
  return nullptr;
}

}  // namespace
}  // namespace squish
