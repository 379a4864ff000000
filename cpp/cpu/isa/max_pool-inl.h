// Max pooling of blocked activations: memory-bound and a few percent of a net's time.
//
// `Pool` says of what: Task, Value, Register (of kLanes values; kRegisters are a pixel), load_values, store_values, larger.
#pragma once

#include <stddef.h>

#include "cpu/isa/unroll-inl.h"

namespace squish {
namespace {

constexpr ptrdiff_t kPixelValues = 16;  // of a block

inline int clip_low(int a) { return a < 0 ? 0 : a; }
inline int clip_high(int a, int limit) { return a < limit ? a : limit; }

// The maximum over rows x columns of pixels.
template <typename Pool>
void max_window(const typename Pool::Value* first, ptrdiff_t row, int rows, int columns,
                typename Pool::Value* output) {
  typename Pool::Register best[Pool::kRegisters];
  unroll<Pool::kRegisters>(
      [&](auto v) SQUISH_LAMBDA_INLINE { best[v] = Pool::load_values(first + v * Pool::kLanes); });
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x) {
      const auto* pixel = first + y * row + ptrdiff_t{x} * kPixelValues;
      unroll<Pool::kRegisters>([&](auto v) SQUISH_LAMBDA_INLINE {
        best[v] = Pool::larger(best[v], Pool::load_values(pixel + v * Pool::kLanes));
      });
    }
  }
  unroll<Pool::kRegisters>(
      [&](auto v) SQUISH_LAMBDA_INLINE { Pool::store_values(output + v * Pool::kLanes, best[v]); });
}

template <typename Pool, int kRows>
SQUISH_ALWAYS_INLINE typename Pool::Register max_of_rows(const typename Pool::Value* pixel, ptrdiff_t row) {
  typename Pool::Register best = Pool::load_values(pixel);
  unroll<kRows - 1>([&](auto y) SQUISH_LAMBDA_INLINE {
    best = Pool::larger(best, Pool::load_values(pixel + (y + 1) * row));
  });
  return best;
}

// SqueezeNet's windows, 3 wide with stride 2, where none is clipped: neighbours share a column, so 2 columns of loads
// a window, not 3.
template <typename Pool, int kRows>
void max_pool_3_stride_2(const typename Pool::Value* input, ptrdiff_t row, int windows,
                         typename Pool::Value* output) {
  typename Pool::Register shared[Pool::kRegisters];
  unroll<Pool::kRegisters>([&](auto v) SQUISH_LAMBDA_INLINE {
    shared[v] = max_of_rows<Pool, kRows>(input + v * Pool::kLanes, row);
  });
  for (int i = 0; i < windows; ++i, input += 2 * kPixelValues, output += kPixelValues) {
    unroll<Pool::kRegisters>([&](auto v) SQUISH_LAMBDA_INLINE {
      const auto* pixel = input + v * Pool::kLanes;
      const auto middle = max_of_rows<Pool, kRows>(pixel + kPixelValues, row);
      const auto last = max_of_rows<Pool, kRows>(pixel + 2 * kPixelValues, row);
      Pool::store_values(output + v * Pool::kLanes, Pool::larger(Pool::larger(shared[v], middle), last));
      shared[v] = last;
    });
  }
}

// Two rows to one.
template <typename Pool>
void max_of_two_rows(const typename Pool::Value* input, ptrdiff_t row, int pixels,
                     typename Pool::Value* output) {
  for (ptrdiff_t i = 0; i < pixels * kPixelValues; i += Pool::kLanes)
    Pool::store_values(output + i, max_of_rows<Pool, 2>(input + i, row));
}

// The number of windows that the fast paths above have done: the first ones.
template <typename Pool>
int max_pool_fast(const typename Pool::Task& task) {
  if (task.kernel_w == 1 && task.stride_w == 1 && task.pad_left == 0 && task.rows == 2) {
    const int windows = clip_high(task.width, task.windows);
    max_of_two_rows<Pool>(task.input, task.input_row, windows, task.output);
    return windows;
  }
  if (task.kernel_w != 3 || task.stride_w != 2 || task.pad_left != 0 || task.width < 3) return 0;
  const int windows = clip_high((task.width - 3) / 2 + 1, task.windows);
  if (task.rows == 2) {
    max_pool_3_stride_2<Pool, 2>(task.input, task.input_row, windows, task.output);
  } else if (task.rows == 3) {
    max_pool_3_stride_2<Pool, 3>(task.input, task.input_row, windows, task.output);
  } else {
    return 0;
  }
  return windows;
}

template <typename Pool>
void max_pool(const typename Pool::Task& task) {
  for (int i = max_pool_fast<Pool>(task); i < task.windows; ++i) {
    const int left = i * task.stride_w - task.pad_left;
    const int x0 = clip_low(left), x1 = clip_high(left + task.kernel_w, task.width);
    max_window<Pool>(task.input + ptrdiff_t{x0} * kPixelValues, task.input_row, task.rows, x1 - x0,
                     task.output + ptrdiff_t{i} * kPixelValues);
  }
}

}  // namespace
}  // namespace squish
