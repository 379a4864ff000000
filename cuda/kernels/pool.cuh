// Pools that stand alone.
#pragma once

#include "cuda/kernels/common.cuh"

namespace squish {
namespace cuda {

// A thread computes one value. Grid: (values of an image, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) max_pool(PoolTask<T> task) {
  wait_for_earlier_kernels();
  const int64_t at = int64_t{blockIdx.x} * kThreads + thread_index();
  const int64_t pixels = int64_t{task.out.height} * task.out.width;
  if (at >= pixels * task.out.channels) return;
  const int lane = static_cast<int>(at % task.out.step);  // of a block of channels
  const int64_t block = at / task.out.step / pixels, pixel = at / task.out.step % pixels;
  const int y = static_cast<int>(pixel / task.out.width), x = static_cast<int>(pixel % task.out.width);
  const int top = y * task.stride_h - task.pad_top, left = x * task.stride_w - task.pad_left;
  const int first_row = top < 0 ? 0 : top, first_column = left < 0 ? 0 : left;
  const int end_row = top + task.kernel_h < task.in.height ? top + task.kernel_h : task.in.height;
  const int end_column = left + task.kernel_w < task.in.width ? left + task.kernel_w : task.in.width;
  const int64_t image = blockIdx.z;
  const T* const in = task.in.data + image * task.in.image_stride +
                      block * task.in.height * task.in.width * task.in.step + lane;
  const auto value = [&](int row, int column) {
    return to_float(in[(int64_t{row} * task.in.width + column) * task.in.step]);
  };
  float best =
      value(first_row, first_column);  // padding is less than the window, so at least one pixel is in it
  for (int row = first_row; row < end_row; ++row) {
    for (int column = first_column; column < end_column; ++column) best = larger(best, value(row, column));
  }
  store(task.out.data + image * task.out.image_stride + at, best);
}

// A block of threads averages one channel. Grid: (channels, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) average(AverageTask<T> task) {
  SQUISH_SHARED(float, scratch, kThreads / 32);
  wait_for_earlier_kernels();
  const int64_t image = blockIdx.z, pixels = int64_t{task.in.height} * task.in.width;
  const int c = static_cast<int>(blockIdx.x);
  const T* const in = task.in.data + image * task.in.image_stride + c / task.in.step * pixels * task.in.step +
                      c % task.in.step;
  float sum = 0;
  for (int64_t i = thread_index(); i < pixels; i += kThreads) sum += to_float(in[i * task.in.step]);
  sum = block_sum(sum, scratch);
  if (thread_index() != 0) return;
  const float mean = sum / static_cast<float>(pixels);
  if (task.results != nullptr) {
    task.results[image * task.result_channels + c] = mean;
  } else {
    store(task.out.data + image * task.out.image_stride + c, mean);
  }
}

}  // namespace cuda
}  // namespace squish
