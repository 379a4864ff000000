// Convolution with any window, straight from global memory: the first layer, squeezes and expands that run apart, the
// head. Grid: (pixels or tiles, blocks of output channels, images).
#pragma once

#include "cuda/kernels/clusters.cuh"
#include "cuda/kernels/tile.cuh"

namespace squish {
namespace cuda {

// Reads the activations of the pixels that a thread owns.
template <typename T, int kPixels, bool kPadded>
struct ConvInput {
  const T* pixel[kPixels];  // channel 0 under the window's origin without padding
  int y[kPixels], x[kPixels];
  int height, width;
  T padding;  // what a window reads beyond the image

  template <typename Task>
  __device__ ConvInput(const Task& task, int image, T beyond)
      : height(task.in.height), width(task.in.width), padding(beyond) {
    base_ = task.in.data + image * task.in.image_stride;
  }
  template <typename Task>
  __device__ void own(int p, const Task& task, int row, int column) {
    y[p] = row * task.stride_h;
    x[p] = column * task.stride_w;
    pixel[p] = base_ + int64_t{y[p]} * width + x[p];
  }
  __device__ typename Sums<T>::Activation operator()(int p, const Tap& tap) const {
    if (kPadded) {
      const int row = y[p] + tap.dy, column = x[p] + tap.dx;
      if (row < 0 || row >= height || column < 0 || column >= width) return activation(padding);
    }
    return activation(pixel[p][tap.offset]);
  }

 private:
  const T* base_;
};

// A block of threads computes a run of pixels, in reading order.
template <typename T, int kPixels, bool kPadded>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce) conv(ConvTask<T> task) {
  SQUISH_STAGE(T, stage);
  const int block_index = static_cast<int>(blockIdx.y), image = static_cast<int>(blockIdx.z);
  const OutputBlock block = task.clusters.blocks[block_index];
  const int pixels = task.conv_height * task.conv_width;
  const int first = static_cast<int>(blockIdx.x) * kThreads * kPixels + thread_index();
  ConvInput<T, kPixels, kPadded> input(task, image, T{});
  SQUISH_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    const int at = first + p * kThreads < pixels ? first + p * kThreads : pixels - 1;
    input.own(p, task, at / task.conv_width, at % task.conv_width);
  }
  wait_for_earlier_kernels();
  Sums<T> sums[kPixels];
  sum_clusters(task.clusters, block_index, stage, input, sums);
  T* const out = task.out.data + image * task.out.image_stride + int64_t{block.first_channel} * pixels;
  SQUISH_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    if (first + p * kThreads >= pixels) break;
    SQUISH_UNROLL
    for (int c = 0; c < kClusterChannels; ++c) {
      if (c < block.channels) {
        store(out + int64_t{c} * pixels + first + p * kThreads,
              at_least(task.clusters.floor, sums[p].totals[c]));
      }
    }
  }
}

// With SqueezeNet's pool: a block of threads computes a tile, of which only the maxima leave the chip.
template <typename T, bool kPadded>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce) conv_pooled(ConvTask<T> task) {
  SQUISH_STAGE(T, stage);
  SQUISH_SHARED(float, pixels, kClusterChannels* kThreads);
  const int block_index = static_cast<int>(blockIdx.y), image = static_cast<int>(blockIdx.z);
  const OutputBlock block = task.clusters.blocks[block_index];
  const Tile tile = this_tile<true>(task.tiling);
  // Threads beyond the tile or the image compute a pixel that is there; nobody looks at it.
  const int own = thread_index() < tile.pixels() ? thread_index() : 0;
  const int row = tile.top + own / tile.width, column = tile.left + own % tile.width;
  ConvInput<T, 1, kPadded> input(task, image, T{});
  input.own(0, task, row < task.conv_height ? row : task.conv_height - 1,
            column < task.conv_width ? column : task.conv_width - 1);
  wait_for_earlier_kernels();
  Sums<T> sums[1];
  sum_clusters(task.clusters, block_index, stage, input, sums);
  SQUISH_UNROLL
  for (int c = 0; c < kClusterChannels; ++c) {
    pixels[c * kThreads + thread_index()] = at_least(task.clusters.floor, sums[0].totals[c]);
  }
  pool_tile(pixels, tile, task.tiling, task.conv_height, task.conv_width, block, task.out, image);
}

}  // namespace cuda
}  // namespace squish
