// Pools that stand alone.
#pragma once

#include "cuda/kernels/quad_input.cuh"

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

// Where a channel's mean goes.
template <typename T>
__device__ inline void store_mean(const AverageTask<T>& task, int channel, float mean) {
  const int64_t image = blockIdx.z;
  if (task.results != nullptr) {
    task.results[image * task.result_channels + channel] = mean;
  } else {
    store(task.out.data + image * task.out.image_stride + channel, mean);
  }
}

// Of planes: a block of threads averages one channel. Grid: (channels, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) average(AverageTask<T> task) {
  SQUISH_SHARED(float, scratch, kThreads / kLanes);
  wait_for_earlier_kernels();
  const int64_t pixels = int64_t{task.in.height} * task.in.width;
  const int c = static_cast<int>(blockIdx.x);
  const T* const plane = task.in.data + blockIdx.z * task.in.image_stride + c * pixels;
  float sum = 0;
  for (int64_t i = thread_index(); i < pixels; i += kThreads) sum += to_float(plane[i]);
  sum = block_sum(sum, scratch);
  if (thread_index() == 0) store_mean(task, c, sum / static_cast<float>(pixels));
}

// Of blocks of 16 channels: a block of threads averages one, whose quads of a pixel four neighbours read. Grid: (blocks of
// channels, 1, images).
template <typename T>
__global__ void __launch_bounds__(kThreads) average_blocks(AverageTask<T> task) {
  constexpr int kPixels = kThreads / kBlockQuads, kAtOnce = 8;
  SQUISH_SHARED(float, scratch, kThreads / kLanes * kClusterChannels);  // [warps][16]
  wait_for_earlier_kernels();
  const int64_t pixels = int64_t{task.in.height} * task.in.width;
  const int quad = thread_index() % kBlockQuads;
  const Quad<T>* const quads =
      reinterpret_cast<const Quad<T>*>(task.in.data + blockIdx.z * task.in.image_stride +
                                       blockIdx.x * pixels * kClusterChannels) +
      quad;
  float sums[kQuad] = {};
  for (int64_t first = thread_index() / kBlockQuads; first < pixels; first += kPixels * kAtOnce) {
    Quad<T> read[kAtOnce];
    SQUISH_UNROLL
    for (int k = 0; k < kAtOnce; ++k) {
      const int64_t pixel = first + k * kPixels;
      read[k] = quad_if(pixel < pixels, quads + pixel * kBlockQuads);
    }
    SQUISH_UNROLL
    for (int k = 0; k < kAtOnce; ++k) {
      float values[kQuad];
      read_quad(read[k], values);
      SQUISH_UNROLL
      for (int i = 0; i < kQuad; ++i) sums[i] += values[i];
    }
  }
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i) {
    SQUISH_UNROLL
    for (int lanes = kBlockQuads; lanes < kLanes; lanes *= 2) sums[i] += __shfl_xor_sync(~0u, sums[i], lanes);
    if (lane_index() < kBlockQuads) scratch[warp_index() * kClusterChannels + quad * kQuad + i] = sums[i];
  }
  __syncthreads();
  const int channels = task.results != nullptr ? task.result_channels : task.in.channels;
  const int channel = static_cast<int>(blockIdx.x) * kClusterChannels + thread_index();
  if (thread_index() >= kClusterChannels || channel >= channels) return;
  float sum = 0;
  SQUISH_UNROLL
  for (int warp = 0; warp < kThreads / kLanes; ++warp)
    sum += scratch[warp * kClusterChannels + thread_index()];
  store_mean(task, channel, sum / static_cast<float>(pixels));
}

}  // namespace cuda
}  // namespace squish
