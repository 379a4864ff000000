// What looks at each value once: additions and the net's input.
#pragma once

#include "cuda/kernels/common.cuh"

namespace squish {
namespace cuda {

__device__ inline int64_t global_thread() { return int64_t{blockIdx.x} * kThreads + thread_index(); }

template <typename T>
__global__ void __launch_bounds__(kThreads) add(AddTask<T> task) {
  const int64_t i = global_thread();
  if (i < task.values) store(task.out + i, at_least(task.floor, to_float(task.a[i]) + to_float(task.b[i])));
}

// A thread normalises one pixel. Grid: (pixels of an image, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) read_pixels(PixelsTask<T> task) {
  const int64_t i = global_thread(), plane = int64_t{task.out.height} * task.out.width, image = blockIdx.z;
  if (i >= plane) return;
  const uint8_t* const pixel = task.pixels + (image * plane + i) * task.out.channels;
  for (int c = 0; c < task.out.channels; ++c) {
    store(task.out.data + image * task.out.image_stride + c * plane + i,
          static_cast<float>(pixel[c]) * task.scale[c] + task.shift[c]);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) read_floats(FloatsTask<T> task) {
  const int64_t i = global_thread();
  if (i >= task.count) return;
  const float value = task.values[i];
  if (!(value - value == 0)) atomicOr(task.not_finite, 1);  // infinity - infinity is NaN
  if (static_cast<const void*>(task.out) != task.values) store(task.out + i, value);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) write_floats(ResultsTask<T> task) {
  const int64_t i = global_thread();
  if (i < task.count) task.out[i] = to_float(task.values[i]);
}

}  // namespace cuda
}  // namespace squish
