// Pools that stand alone.
#pragma once

#include "cuda/kernels/common.cuh"

namespace squish {
namespace cuda {

// A thread computes one value. Grid: (values of an image, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) max_pool(PoolTask<T> task) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + thread_index();
  const int64_t plane = int64_t{task.out.height} * task.out.width;
  if (at >= plane * task.out.channels) return;
  const int64_t c = at / plane;
  const int y = static_cast<int>(at % plane / task.out.width), x = static_cast<int>(at % task.out.width);
  const int top = y * task.stride_h - task.pad_top, left = x * task.stride_w - task.pad_left;
  const int first_row = top < 0 ? 0 : top, first_column = left < 0 ? 0 : left;
  const int end_row = top + task.kernel_h < task.in.height ? top + task.kernel_h : task.in.height;
  const int end_column = left + task.kernel_w < task.in.width ? left + task.kernel_w : task.in.width;
  const int64_t image = blockIdx.z;
  const T* const in = task.in.data + image * task.in.image_stride + c * task.in.height * task.in.width;
  // Padding is less than the window, so at least one pixel is in it.
  float best = to_float(in[int64_t{first_row} * task.in.width + first_column]);
  for (int row = first_row; row < end_row; ++row) {
    for (int column = first_column; column < end_column; ++column) {
      best = larger(best, to_float(in[int64_t{row} * task.in.width + column]));
    }
  }
  store(task.out.data + image * task.out.image_stride + at, best);
}

// A block of threads averages one channel. Grid: (channels, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) average(AverageTask<T> task) {
  SQUISH_SHARED(float, scratch, kThreads / 32);
  const int64_t c = blockIdx.x, image = blockIdx.z, pixels = int64_t{task.in.height} * task.in.width;
  const T* const in = task.in.data + image * task.in.image_stride + c * pixels;
  float sum = 0;
  for (int64_t i = thread_index(); i < pixels; i += kThreads) sum += to_float(in[i]);
  sum = block_sum(sum, scratch);
  if (thread_index() == 0) {
    store(task.out.data + image * task.out.image_stride + c, sum / static_cast<float>(pixels));
  }
}

}  // namespace cuda
}  // namespace squish
