#include "cpu/isa/integers_avx2.h"
// The arithmetic comes first: the bodies below are written over it.
#include "cpu/isa/integer_table-inl.h"

namespace squish {
namespace {

// As IntegerConv, but in runs of columns; only their sums, in memory, are in 32 bits from run to run. (As int32, not as Sums: GCC
// 12 copies these in halves, and whoever reads a register's worth then waits for both to be written.)
template <bool kPooled>
struct IntegerConvInRuns : IntegerTiles<kPooled> {
  template <int kRows, int kPixels, int kStep, int kBlocks>
  static void tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output);
};

struct Run {
  const uint8_t *input, *weights;
  const int32_t* offsets;
  ptrdiff_t columns;
  ptrdiff_t row, step;  // of the input's pixels
};

inline int32_t* of_pixel(int32_t* sums, int pixel) { return sums + ptrdiff_t{pixel} * kClusterOutputs; }

// Pixels kFirst to kFirst + kCount - 1 of a tile. A function that is called, so that no other sums are in registers.
template <int kPixels, int kStep, int kFirst, int kCount>
[[gnu::noinline]] void add_wide_run(const Run& run, int32_t* sums) {
  const ptrdiff_t step = kStep ? kStep : run.step;
  const uint8_t* weights = run.weights;
  Sums sum[kCount];
  unroll<kCount>([&](auto i) SQUISH_LAMBDA_INLINE { sum[i] = load_sums(of_pixel(sums, kFirst + i)); });
  for (ptrdiff_t k = 0; k < run.columns; ++k, weights += kClusterBytes) {
    const uint8_t* pixel = run.input + run.offsets[k];
    const Cluster cluster = load_cluster(weights);
    unroll<kCount>([&](auto i) SQUISH_LAMBDA_INLINE {
      const int p = kFirst + i;
      const Quad quad = broadcast_quad(pixel + p / kPixels * run.row + p % kPixels * step);
      sum[i] = dot(sum[i], cluster, quad);
    });
  }
  unroll<kCount>([&](auto i) SQUISH_LAMBDA_INLINE { store_sums(of_pixel(sums, kFirst + i), sum[i]); });
}

template <int kRows, int kPixels, int kStep>
SQUISH_ALWAYS_INLINE void add_narrow_run(const Run& run, int32_t* sums) {
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
  unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE {
    int32_t* to = of_pixel(sums, p);
    store_sums(to, add(load_sums(to), sum[p]));
  });
}

template <bool kPooled>
template <int kRows, int kPixels, int kStep, int kBlocks>
void IntegerConvInRuns<kPooled>::tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output) {
  constexpr int kTile = kRows * kPixels;
  constexpr int kWide = kTile <= kMaxWideTile ? kTile : (kTile + 1) / 2;
  alignas(32) int32_t sums[kTile * kClusterOutputs];
  const Sums start = load_sums(task.start);
  unroll<kTile>([&](auto p) SQUISH_LAMBDA_INLINE { store_sums(of_pixel(sums, p), start); });
  Run run{input, task.weights, task.offsets, 0, task.input_row, task.input_step};
  for (ptrdiff_t left = task.columns; left > 0; left -= run.columns) {
    const ptrdiff_t columns = load_run(run.weights);
    run.columns = columns > 0 ? columns : -columns;
    if (columns > 0) {
      add_narrow_run<kRows, kPixels, kStep>(run, sums);
    } else {
      add_wide_run<kPixels, kStep, 0, kWide>(run, sums);
      if constexpr (kWide < kTile) add_wide_run<kPixels, kStep, kWide, kTile - kWide>(run, sums);
    }
    run.weights += run.columns * kClusterBytes;
    run.offsets += run.columns;
  }
  store_results<kPooled, kRows, kPixels, kBlocks>(
      task, output, [&](auto p, auto) SQUISH_LAMBDA_INLINE { return load_sums(of_pixel(sums, p)); });
}

}  // namespace

constexpr IntegerKernels kAvx2Integers = make_integer_kernels<IntegerConvInRuns>("avx2");

}  // namespace squish
