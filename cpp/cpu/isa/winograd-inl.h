// The transforms of Winograd's F(2x2, 3x3) (A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks,
// arXiv 1509.09308): 2x2 outputs of a 3x3 convolution for 16 multiplications instead of 36. Between the two transforms
// each of the 16 frequencies is a 1x1 convolution, for which the kernels of conv-inl.h serve.
#pragma once

#include "cpu/isa/unroll-inl.h"
#include "cpu/kernel_table.h"

namespace squish {
namespace {

// B^T d for one line of four: {d0 - d2, d1 + d2, d2 - d1, d1 - d3}.
SQUISH_ALWAYS_INLINE void transform_line(const Vec (&d)[4], Vec (&out)[4]) {
  out[0] = sub(d[0], d[2]);
  out[1] = add(d[1], d[2]);
  out[2] = sub(d[2], d[1]);
  out[3] = sub(d[1], d[3]);
}

void winograd_input(const WinogradInputTask& task) {
  for (int t = 0; t < task.tiles; ++t) {
    unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE {
      const float* tile = task.input + ptrdiff_t{t} * 2 * kBlockFloats + v * kLanes;
      float* output = task.output + ptrdiff_t{t} * kBlockFloats + v * kLanes;
      Vec lines[4][4];
      unroll<4>([&](auto y) SQUISH_LAMBDA_INLINE {
        const float* row = tile + y * task.input_row;
        const Vec d[4] = {load(row), load(row + kBlockFloats), load(row + 2 * kBlockFloats),
                          load(row + 3 * kBlockFloats)};
        transform_line(d, lines[y]);
      });
      unroll<4>([&](auto x) SQUISH_LAMBDA_INLINE {
        const Vec d[4] = {lines[0][x], lines[1][x], lines[2][x], lines[3][x]};
        Vec column[4];
        transform_line(d, column);
        unroll<4>([&](auto y)
                      SQUISH_LAMBDA_INLINE { store(output + (4 * y + x) * task.frequency, column[y]); });
      });
    });
  }
}

// A^T m for one line of four: {m0 + m1 + m2, m1 - m2 - m3}.
SQUISH_ALWAYS_INLINE void transform_back(const Vec (&m)[4], Vec (&out)[2]) {
  out[0] = add(add(m[0], m[1]), m[2]);
  out[1] = sub(sub(m[1], m[2]), m[3]);
}

void winograd_output(const WinogradOutputTask& task) {
  const Vec floor = broadcast(&task.floor);
  for (int x = 0; x < task.width; x += 2) {
    const bool two_columns = x + 1 < task.width;
    unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE {
      const float* products = task.products + ptrdiff_t{x / 2} * kBlockFloats + v * kLanes;
      float* output = task.output + ptrdiff_t{x} * kBlockFloats + v * kLanes;
      const Vec bias = load(task.bias + v * kLanes);
      Vec columns[4][2];
      unroll<4>([&](auto c) SQUISH_LAMBDA_INLINE {
        const float* f = products + c * task.frequency;
        const Vec m[4] = {load(f), load(f + 4 * task.frequency), load(f + 8 * task.frequency),
                          load(f + 12 * task.frequency)};
        transform_back(m, columns[c]);
      });
      Vec pixels[2][2];
      unroll<2>([&](auto y) SQUISH_LAMBDA_INLINE {
        const Vec m[4] = {columns[0][y], columns[1][y], columns[2][y], columns[3][y]};
        transform_back(m, pixels[y]);
        unroll<2>([&](auto i) SQUISH_LAMBDA_INLINE { pixels[y][i] = max(floor, add(pixels[y][i], bias)); });
      });
      if (task.pair_max) {
        unroll<2>([&](auto i) SQUISH_LAMBDA_INLINE {
          pixels[1][i] = task.rows == 2 ? max_or_nan(pixels[0][i], pixels[1][i]) : pixels[0][i];
        });
      }
      store(output, pixels[0][0]);
      if (two_columns) store(output + kBlockFloats, pixels[0][1]);
      if (task.rows == 1 && !task.pair_max) return;
      store(output + task.output_row, pixels[1][0]);
      if (two_columns) store(output + task.output_row + kBlockFloats, pixels[1][1]);
    });
  }
}

}  // namespace
}  // namespace squish
