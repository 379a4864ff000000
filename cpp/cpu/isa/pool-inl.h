// Max pooling, averaging and adding of blocked activations. Memory-bound and a few percent of a net's time: plain.
// A maximum with NaN is NaN, as PyTorch's.
#pragma once

#include "cpu/isa/unroll-inl.h"
#include "cpu/kernel_table.h"

namespace squish {
namespace {

inline int clip_low(int a) { return a < 0 ? 0 : a; }
inline int clip_high(int a, int limit) { return a < limit ? a : limit; }

// The maximum over rows x columns of pixels.
void max_window(const float* first, ptrdiff_t row, int rows, int columns, float* output) {
  Vec best[kVecs];
  unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE { best[v] = load(first + v * kLanes); });
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x) {
      const float* pixel = first + y * row + ptrdiff_t{x} * kBlockFloats;
      unroll<kVecs>([&](auto v)
                        SQUISH_LAMBDA_INLINE { best[v] = max_or_nan(best[v], load(pixel + v * kLanes)); });
    }
  }
  unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE { store(output + v * kLanes, best[v]); });
}

template <int kRows>
SQUISH_ALWAYS_INLINE Vec max_of_rows(const float* pixel, ptrdiff_t row) {
  Vec best = load(pixel);
  unroll<kRows - 1>([&](auto y)
                        SQUISH_LAMBDA_INLINE { best = max_or_nan(best, load(pixel + (y + 1) * row)); });
  return best;
}

// SqueezeNet's windows, 3 wide with stride 2, where none is clipped: neighbours share a column, so 2 columns of loads
// a window, not 3.
template <int kRows>
void max_pool_3_stride_2(const float* input, ptrdiff_t row, int windows, float* output) {
  Vec shared[kVecs];
  unroll<kVecs>([&](auto v)
                    SQUISH_LAMBDA_INLINE { shared[v] = max_of_rows<kRows>(input + v * kLanes, row); });
  for (int i = 0; i < windows; ++i, input += 2 * kBlockFloats, output += kBlockFloats) {
    unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE {
      const float* pixel = input + v * kLanes;
      const Vec last = max_of_rows<kRows>(pixel + 2 * kBlockFloats, row);
      store(output + v * kLanes,
            max_or_nan(max_or_nan(shared[v], max_of_rows<kRows>(pixel + kBlockFloats, row)), last));
      shared[v] = last;
    });
  }
}

// The number of windows that the fast path above has done: the first ones.
int max_pool_fast(const PoolTask& task) {
  if (task.kernel_w != 3 || task.stride_w != 2 || task.pad_left != 0 || task.width < 3) return 0;
  const int windows = clip_high((task.width - 3) / 2 + 1, task.windows);
  if (task.rows == 2) {
    max_pool_3_stride_2<2>(task.input, task.input_row, windows, task.output);
  } else if (task.rows == 3) {
    max_pool_3_stride_2<3>(task.input, task.input_row, windows, task.output);
  } else {
    return 0;
  }
  return windows;
}

void max_pool(const PoolTask& task) {
  for (int i = max_pool_fast(task); i < task.windows; ++i) {
    const int left = i * task.stride_w - task.pad_left;
    const int x0 = clip_low(left), x1 = clip_high(left + task.kernel_w, task.width);
    max_window(task.input + ptrdiff_t{x0} * kBlockFloats, task.input_row, task.rows, x1 - x0,
               task.output + ptrdiff_t{i} * kBlockFloats);
  }
}

void average(const AverageTask& task) {
  const float zero = 0, share = 1.0f / (static_cast<float>(task.rows) * static_cast<float>(task.width));
  Vec sum[kVecs];
  unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE { sum[v] = broadcast(&zero); });
  for (int r = 0; r < task.rows; ++r) {
    const float* pixel = task.input + r * task.input_row;
    for (int x = 0; x < task.width; ++x, pixel += kBlockFloats) {
      unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE { sum[v] = add(sum[v], load(pixel + v * kLanes)); });
    }
  }
  unroll<kVecs>(
      [&](auto v) SQUISH_LAMBDA_INLINE { store(task.output + v * kLanes, mul(sum[v], broadcast(&share))); });
}

// task.floats is a multiple of kBlockFloats.
void add(const AddTask& task) {
  const Vec floor = broadcast(&task.floor);
  for (int r = 0; r < task.rows; ++r) {
    const float* a = task.a + r * task.a_row;
    const float* b = task.b + r * task.b_row;
    float* output = task.output + r * task.output_row;
    for (ptrdiff_t i = 0; i < task.floats; i += kLanes)
      store(output + i, max(floor, add(load(a + i), load(b + i))));
  }
}

}  // namespace
}  // namespace squish
