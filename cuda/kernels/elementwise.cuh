// What looks at each value once: additions and the net's input.
#pragma once

#include "cuda/kernels/bundles.cuh"

namespace squish {
namespace cuda {

__device__ inline int64_t global_thread() { return int64_t{blockIdx.x} * kThreads + thread_index(); }

// A value of an image.
template <typename T>
__device__ inline float value_at(const Planes<const T>& in, int64_t image, int stored, int64_t pixel) {
  const int64_t pixels = int64_t{in.height} * in.width;
  return to_float(
      in.data[image * in.image_stride + (stored / in.step * pixels + pixel) * in.step + stored % in.step]);
}

// Grid: (values of an image, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) add(AddTask<T> task) {
  wait_for_earlier_kernels();
  const int64_t i = global_thread(), pixels = int64_t{task.out.height} * task.out.width, image = blockIdx.z;
  if (i >= pixels * task.out.channels) return;
  const int step = task.out.step;
  const int64_t pixel = i / step % pixels;
  const int stored = static_cast<int>(i / step / pixels * step + i % step);
  const int channel = used_channel(task.a_segments, step, stored);
  T* const out = task.out.data + image * task.out.image_stride + i;
  if (channel < 0) return store(out, 0.0f);
  const float b = value_at(task.b, image, stored_channel(task.b_segments, step, channel), pixel);
  store(out, at_least(task.floor, value_at(task.a, image, stored, pixel) + b));
}

// A thread normalises one pixel. Grid: (pixels of an image, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) read_pixels(PixelsTask<T> task) {
  wait_for_earlier_kernels();
  const int64_t i = global_thread(), plane = int64_t{task.out.height} * task.out.width, image = blockIdx.z;
  if (i >= plane) return;
  const uint8_t* const pixel = task.pixels + (image * plane + i) * task.out.channels;
  SQUISH_UNROLL  // by a constant: what a variable indexes has no place in registers
      for (int c = 0; c < kMaxImageChannels; ++c) {
    if (c >= task.out.channels) continue;
    store(task.out.data + image * task.out.image_stride + c * plane + i,
          static_cast<float>(pixel[c]) * task.scale[c] + task.shift[c]);
  }
}

// What a thread reads of its pixels, of which the first is `begin`: all of it before anything is done with the first.
__device__ inline void read_bytes(const uint8_t* image, int channels, int64_t begin, int64_t pixels,
                                  const float* scale, const float* shift,
                                  float (&values)[kReadPixels][kQuad]) {
  uint8_t bytes[kReadPixels][kQuad] = {};
  SQUISH_UNROLL
  for (int k = 0; k < kReadPixels; ++k) {
    const int64_t i = begin + k * kThreads;
    SQUISH_UNROLL
    for (int c = 0; c < kQuad; ++c) {
      if (i < pixels && c < channels) bytes[k][c] = image[i * channels + c];
    }
  }
  SQUISH_UNROLL
  for (int k = 0; k < kReadPixels; ++k) {
    SQUISH_UNROLL
    for (int c = 0; c < kQuad; ++c) {
      if (c < channels) values[k][c] = static_cast<float>(bytes[k][c]) * scale[c] + shift[c];
    }
  }
}
__device__ inline void read_planes(const float* image, int channels, int64_t begin, int64_t pixels,
                                   float (&values)[kReadPixels][kQuad]) {
  SQUISH_UNROLL
  for (int k = 0; k < kReadPixels; ++k) {
    const int64_t i = begin + k * kThreads;
    SQUISH_UNROLL
    for (int c = 0; c < kQuad; ++c) {
      if (i < pixels && c < channels) values[k][c] = image[c * pixels + i];
    }
  }
}

// Threads make quads of so many pixels each. Grid: (pixels of an image, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) read_quads(QuadsTask<T> task) {
  wait_for_earlier_kernels();
  const int64_t pixels = int64_t{task.out.height} * task.out.width, image = blockIdx.z;
  const int64_t begin = int64_t{blockIdx.x} * kThreads * kReadPixels + thread_index();
  const int64_t in_image = image * task.channels * pixels;
  T* const out = task.out.data + image * task.out.image_stride;
  bool finite = true;
  for (int first = 0; first < task.out.channels; first += kQuad) {
    float values[kReadPixels][kQuad] = {};
    if (task.pixels != nullptr) {  // which have one quad
      read_bytes(task.pixels + in_image, task.channels, begin, pixels, task.scale, task.shift, values);
    } else {
      read_planes(task.floats + in_image + first * pixels, task.channels - first, begin, pixels, values);
    }
    SQUISH_UNROLL
    for (int k = 0; k < kReadPixels; ++k) {
      const int64_t i = begin + k * kThreads;
      SQUISH_UNROLL
      for (int c = 0; c < kQuad; ++c)
        finite &= values[k][c] - values[k][c] == 0;  // infinity - infinity is NaN
      if (i < pixels) store_at_once(out + (first / kQuad * pixels + i) * kQuad, make_quad<T>(values[k]));
    }
  }
  if (!finite) atomicOr(task.not_finite, 1);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) read_floats(FloatsTask<T> task) {
  wait_for_earlier_kernels();
  const int64_t i = global_thread();
  if (i >= task.count) return;
  const float value = task.values[i];
  if (!(value - value == 0)) atomicOr(task.not_finite, 1);  // infinity - infinity is NaN
  if (static_cast<const void*>(task.out) != task.values) store(task.out + i, value);
}

// Grid: (values of an image, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) write_floats(ResultsTask<T> task) {
  wait_for_earlier_kernels();
  const int64_t i = global_thread(), pixels = int64_t{task.in.height} * task.in.width, image = blockIdx.z;
  if (i >= pixels * task.segments.channels) return;
  const int stored = stored_channel(task.segments, task.in.step, static_cast<int>(i / pixels));
  task.out[image * pixels * task.segments.channels + i] = value_at(task.in, image, stored, i % pixels);
}

}  // namespace cuda
}  // namespace squish
