// Max pooling, averaging and adding of blocked activations. Memory-bound and a few percent of a net's time: plain.
#pragma once

#include "cpu/isa/unroll-inl.h"
#include "cpu/kernel_table.h"

namespace squish {
namespace {

inline int clip_low(int a) { return a < 0 ? 0 : a; }
inline int clip_high(int a, int limit) { return a < limit ? a : limit; }

// The maximum over rows x columns of pixels.
SQUISH_ALWAYS_INLINE void max_window(const float* first, ptrdiff_t row, int rows, int columns, float* output) {
  Vec best[kVecs];
  unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE { best[v] = load(first + v * kLanes); });
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x) {
      const float* pixel = first + y * row + ptrdiff_t{x} * 16;
      unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE { best[v] = max(best[v], load(pixel + v * kLanes)); });
    }
  }
  unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE { store(output + v * kLanes, best[v]); });
}

// One row of windows, clipped to the input at both ends.
void max_pool_row(const PoolTask& task, const float* input, int rows, float* output) {
  for (int column = 0; column < task.output_width; ++column, output += 16) {
    const int left = column * task.stride_w - task.pad_left;
    const int x0 = clip_low(left), x1 = clip_high(left + task.kernel_w, task.width);
    const float* first = input + ptrdiff_t{x0} * 16;
    if (rows == 3 && x1 - x0 == 3) {
      max_window(first, task.input_row, 3, 3, output);  // SqueezeNet's: unrolled
    } else {
      max_window(first, task.input_row, rows, x1 - x0, output);
    }
  }
}

void max_pool(const PoolTask& task) {
  for (int r = 0; r < task.rows; ++r) {
    const int top = (task.first_row + r) * task.stride_h - task.pad_top;
    const int y0 = clip_low(top), y1 = clip_high(top + task.kernel_h, task.height);
    max_pool_row(task, task.input + (y0 - task.input_first_row) * task.input_row, y1 - y0,
                 task.output + r * task.output_row);
  }
}

void average(const AverageTask& task) {
  const float zero = 0, share = 1.0f / (static_cast<float>(task.rows) * static_cast<float>(task.width));
  Vec sum[kVecs];
  unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE { sum[v] = broadcast(&zero); });
  for (int r = 0; r < task.rows; ++r) {
    const float* pixel = task.input + r * task.input_row;
    for (int x = 0; x < task.width; ++x, pixel += 16) {
      unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE { sum[v] = add(sum[v], load(pixel + v * kLanes)); });
    }
  }
  unroll<kVecs>(
      [&](auto v) SQUISH_LAMBDA_INLINE { store(task.output + v * kLanes, mul(sum[v], broadcast(&share))); });
}

// task.floats is a multiple of 16.
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
