// What a net in integer arithmetic does beside convolutions: pools that stand alone, additions and its input. A
// thread has a quad of channels of a pixel. Value: ByteQuad or FloatQuad, as what they put out is held; that of an average, what
// it reads. Grids: (quads of an image, 1, images), where nothing else is said.
#pragma once

#include "cuda/kernels/byte_quads.cuh"

namespace squish {
namespace cuda {

template <typename Value>
__global__ void __launch_bounds__(kThreads) integer_max_pool(IntegerPoolTask task) {
  wait_for_earlier_kernels();
  const int64_t at = int64_t{blockIdx.x} * kThreads + thread_index(), image = blockIdx.z;
  const int64_t pixels = int64_t{task.out.height} * task.out.width;
  if (at >= pixels * task.out.quads) return;
  const int64_t plane = at / pixels, pixel = at % pixels;
  const int y = static_cast<int>(pixel / task.out.width), x = static_cast<int>(pixel % task.out.width);
  const int top = y * task.stride_h - task.pad_top, left = x * task.stride_w - task.pad_left;
  const int first_row = top < 0 ? 0 : top, first_column = left < 0 ? 0 : left;
  const int end_row = top + task.kernel_h < task.in.height ? top + task.kernel_h : task.in.height;
  const int end_column = left + task.kernel_w < task.in.width ? left + task.kernel_w : task.in.width;
  const Value* const in = static_cast<const Value*>(task.in.data) + image * task.in.image_quads +
                          plane * task.in.height * task.in.width;
  // Padding is less than the window, so at least one pixel is in it.
  Value best = in[int64_t{first_row} * task.in.width + first_column];
  for (int row = first_row; row < end_row; ++row) {
    for (int column = first_column; column < end_column; ++column)
      best = larger(best, in[int64_t{row} * task.in.width + column]);
  }
  static_cast<Value*>(task.out.data)[image * task.out.image_quads + at] = best;
}

// A block of threads averages a quad of channels: all of them read, and four add the values up, one after the other, as the
// order of a sum decides its last bits. Grid: (quads, 1, images).
template <typename Value>
__global__ void __launch_bounds__(kThreads) integer_average(IntegerAverageTask task) {
  SQUISH_SHARED(FloatQuad, values, kThreads);
  wait_for_earlier_kernels();
  const int64_t pixels = int64_t{task.in.height} * task.in.width, image = blockIdx.z;
  const int quad = static_cast<int>(blockIdx.x), i = thread_index();
  const Value* const in =
      static_cast<const Value*>(task.in.data) + image * task.in.image_quads + quad * pixels;
  float sum = 0;
  for (int64_t first = 0; first < pixels; first += kThreads) {
    const int count = pixels - first < kThreads ? static_cast<int>(pixels - first) : kThreads;
    __syncthreads();  // nobody adds the values before any more
    if (i < count) values[i] = values_of(in[first + i], task.in.held);
    __syncthreads();
    if (i >= kQuad) continue;
    for (int k = 0; k < count; ++k) sum = __fadd_rn(sum, values[k].values[i]);
  }
  __syncthreads();
  if (i < kQuad) values[0].values[i] = __fmul_rn(sum, task.share);
  __syncthreads();
  if (task.results == nullptr) {
    const int64_t at = image * task.out.image_quads + quad;
    if (i > 0) return;
    if (in_bytes(task.out.held)) {
      hold(values[0], task.out.held, static_cast<ByteQuad*>(task.out.data) + at);
    } else {
      static_cast<FloatQuad*>(task.out.data)[at] = values[0];
    }
    return;
  }
  if (i >= kQuad) return;
  const int channel = used_channel(task.in.segments, kQuad, quad * kQuad + i);
  if (channel >= 0) task.results[image * task.in.segments.channels + channel] = values[0].values[i];
}

template <typename Value>
__global__ void __launch_bounds__(kThreads) integer_add(IntegerAddTask task) {
  wait_for_earlier_kernels();
  const int64_t at = int64_t{blockIdx.x} * kThreads + thread_index(), image = blockIdx.z;
  const int64_t pixels = int64_t{task.out.height} * task.out.width;
  if (at >= pixels * task.out.quads) return;
  const int quad = static_cast<int>(at / pixels);
  const int64_t pixel = at % pixels, b_image = image * task.b.image_quads;
  const FloatQuad a = read_held(task.a, image * task.a.image_quads + at);
  FloatQuad b = {};
  if (task.a.segments.first == task.b.segments.first) {
    b = read_held(task.b, b_image + at);
  } else {
    SQUISH_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      const int channel = used_channel(task.a.segments, kQuad, quad * kQuad + i);
      if (channel < 0) continue;
      const int stored = stored_channel(task.b.segments, kQuad, channel);
      b.values[i] = read_held(task.b, b_image + stored / kQuad * pixels + pixel, stored % kQuad);
    }
  }
  FloatQuad sum;
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i) sum.values[i] = at_least(task.floor, __fadd_rn(a.values[i], b.values[i]));
  hold(sum, task.out.held, static_cast<Value*>(task.out.data) + image * task.out.image_quads + at);
}

// Grid: (pixels of an image, 1, images).
template <typename Value>
__global__ void __launch_bounds__(kThreads) integer_input(IntegerInputTask task) {
  wait_for_earlier_kernels();
  const int64_t pixel = int64_t{blockIdx.x} * kThreads + thread_index(), image = blockIdx.z;
  const int64_t pixels = int64_t{task.out.height} * task.out.width;
  if (pixel >= pixels) return;
  const int channels = task.out.segments.channels;
  FloatQuad values = {};
  bool finite = true;
  SQUISH_UNROLL
  for (int c = 0; c < kQuad; ++c) {
    if (c >= channels) break;
    if (task.pixels != nullptr) {
      const uint8_t byte = task.pixels[(image * pixels + pixel) * channels + c];
      values.values[c] = scaled(static_cast<float>(byte), task.scale[c], task.shift[c]);
    } else {
      values.values[c] = task.floats[(image * channels + c) * pixels + pixel];
    }
    finite &= values.values[c] - values.values[c] == 0;  // infinity - infinity is NaN
  }
  if (!finite) atomicOr(task.not_finite, 1);
  hold(values, task.out.held, static_cast<Value*>(task.out.data) + image * task.out.image_quads + pixel);
}

}  // namespace cuda
}  // namespace squish
