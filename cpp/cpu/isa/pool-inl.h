// Averaging and adding of blocked activations. Memory-bound and a few percent of a net's time: plain.
#pragma once

#include "cpu/isa/unroll-inl.h"
#include "cpu/kernel_table.h"

namespace squish {
namespace {

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
