#include "cpu/isa/integers_avx2.h"
// The arithmetic comes first: the bodies below are written over it.
#include "cpu/isa/integer_table-inl.h"

namespace squish {
namespace {

// As IntegerConv, but in runs of columns; only their sums, in memory, are in 32 bits from run to run.
struct IntegerConvInRuns {
  using Task = IntegerConvTask;
  using Input = uint8_t;
  using Output = uint8_t;
  static constexpr int kMaxTile = kMaxIntegerTile;

  static ptrdiff_t output_step(const IntegerConvTask& task) { return IntegerConv::output_step(task); }
  template <int kRows, int kPixels, int kStep, int kBlocks>
  static void tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output);
};

struct Run {
  const uint8_t *input, *weights;
  const int32_t* offsets;
  ptrdiff_t columns;
  ptrdiff_t row, step;  // of the input's pixels
};

// Pixels kFirst to kFirst + kCount - 1 of a tile. A function that is called, so that no other sums are in registers.
template <int kPixels, int kStep, int kFirst, int kCount>
[[gnu::noinline]] void add_wide_run(const Run& run, Sums* sums) {
  const ptrdiff_t step = kStep ? kStep : run.step;
  const uint8_t* weights = run.weights;
  Sums sum[kCount];
  unroll<kCount>([&](auto i) SQUISH_LAMBDA_INLINE { sum[i] = sums[kFirst + i]; });
  for (ptrdiff_t k = 0; k < run.columns; ++k, weights += kClusterBytes) {
    const uint8_t* pixel = run.input + run.offsets[k];
    const Cluster cluster = load_cluster(weights);
    unroll<kCount>([&](auto i) SQUISH_LAMBDA_INLINE {
      const int p = kFirst + i;
      const Quad quad = broadcast_quad(pixel + p / kPixels * run.row + p % kPixels * step);
      sum[i] = dot(sum[i], cluster, quad);
    });
  }
  unroll<kCount>([&](auto i) SQUISH_LAMBDA_INLINE { sums[kFirst + i] = sum[i]; });
}

template <int kRows, int kPixels, int kStep>
SQUISH_ALWAYS_INLINE void add_narrow_run(const Run& run, Sums* sums) {
  constexpr int kTile = kRows * kPixels;
  const ptrdiff_t step = kStep ? kStep : run.step;
  const uint8_t* weights = run.weights;
  NarrowSums sum[kTile];
  unroll<kTile>([&](auto p)
                    SQUISH_LAMBDA_INLINE { sum[p] = {_mm256_setzero_si256(), _mm256_setzero_si256()}; });
  for (ptrdiff_t k = 0; k < run.columns; ++k, weights += kClusterBytes) {
    const uint8_t* pixel = run.input + run.offsets[k];
    const NarrowCluster cluster = load_narrow_cluster(weights);
    unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE {
      sum[p] = dot(sum[p], cluster, broadcast_4_bytes(pixel + p / kPixels * run.row + p % kPixels * step));
    });
  }
  unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE { sums[p] = add(sums[p], sum[p]); });
}

template <int kRows, int kPixels, int kStep, int kBlocks>
void IntegerConvInRuns::tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output) {
  constexpr int kTile = kRows * kPixels;
  constexpr int kWide = kTile <= kMaxWideTile ? kTile : (kTile + 1) / 2;
  Sums sum[kTile];
  const Sums start = load_sums(task.start);
  unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE { sum[p] = start; });
  Run run{input, task.weights, task.offsets, 0, task.input_row, task.input_step};
  for (ptrdiff_t left = task.columns; left > 0; left -= run.columns) {
    const ptrdiff_t columns = load_run(run.weights);
    run.columns = columns > 0 ? columns : -columns;
    if (columns > 0) {
      add_narrow_run<kRows, kPixels, kStep>(run, sum);
    } else {
      add_wide_run<kPixels, kStep, 0, kWide>(run, sum);
      if constexpr (kWide < kTile) add_wide_run<kPixels, kStep, kWide, kTile - kWide>(run, sum);
    }
    run.weights += run.columns * kClusterBytes;
    run.offsets += run.columns;
  }
  store_results<kRows, kPixels, kBlocks>(task, output,
                                         [&](auto p, auto) SQUISH_LAMBDA_INLINE { return sum[p]; });
}

}  // namespace

constexpr IntegerKernels kAvx2Integers = with_conv<IntegerConvInRuns>(make_integer_kernels("avx2"));

}  // namespace squish
