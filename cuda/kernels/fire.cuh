// A whole Fire: the squeeze of a tile and of the pixels around it goes into shared memory, both expands read it there
// and write their slices of the concatenated output, pooled where a pool follows. Zeros around the image are part of
// what is in shared memory, so the expands' loop knows no edges. Grid: (tiles, splits, images).
#pragma once

#include "cuda/kernels/clusters.cuh"
#include "cuda/kernels/tile.cuh"

namespace squish {
namespace cuda {

// Computes the squeeze of the tile's halo into shared memory. sum_clusters lets all threads meet before it reads there.
template <typename T>
__device__ inline void squeeze_halo(const FireTask<T>& task, const Tile& tile, int image,
                                    const Stage<T>& stage, T* squeezed) {
  constexpr int kPixels = kMaxHaloPixels / kThreads;
  const int halo_width = tile.width + 2, halo_pixels = halo_width * (tile.height + 2);
  const T* pixel[kPixels];
  bool in_image[kPixels];
  SQUISH_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    const int at = thread_index() + p * kThreads;
    const int y = tile.top - 1 + at / halo_width, x = tile.left - 1 + at % halo_width;
    in_image[p] = at < halo_pixels && y >= 0 && y < task.in.height && x >= 0 && x < task.in.width;
    pixel[p] = task.in.data + image * task.in.image_stride;
    if (in_image[p]) pixel[p] += int64_t{y} * task.in.width + x;
  }
  const auto load = [&](int p, const Tap& tap) { return activation(pixel[p][tap.offset]); };
  for (int b = 0; b < task.squeeze.block_count; ++b) {
    const OutputBlock block = task.squeeze.blocks[b];
    Sums<T> sums[kPixels];
    sum_clusters(task.squeeze, b, stage, load, sums);
    SQUISH_UNROLL
    for (int p = 0; p < kPixels; ++p) {
      const int at = thread_index() + p * kThreads;
      if (at >= halo_pixels) break;
      SQUISH_UNROLL
      for (int c = 0; c < kClusterChannels; ++c) {
        if (c < block.channels) {
          const float value = at_least(task.squeeze.floor, sums[p].totals[c]);
          store(squeezed + (block.first_channel + c) * halo_pixels + at, in_image[p] ? value : 0);
        }
      }
    }
  }
}

template <typename T, bool kPooled>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce) fire(FireTask<T> task) {
  SQUISH_STAGE(T, stage);
  SQUISH_SHARED(float, pixels, kPooled ? kClusterChannels * kThreads : 1);
  SQUISH_DYNAMIC_SHARED(T, squeezed);  // [squeeze_channels][tile.height + 2][tile.width + 2]
  const int image = static_cast<int>(blockIdx.z);
  const Tile tile = this_tile<kPooled>(task.tiling);
  wait_for_earlier_kernels();
  squeeze_halo(task, tile, image, stage, squeezed);

  const int own = thread_index() < tile.pixels() ? thread_index() : 0;
  const int row = own / tile.width, column = own % tile.width, y = tile.top + row, x = tile.left + column;
  const bool writes = thread_index() < tile.pixels() && y < task.out.height && x < task.out.width;
  const T* const centre = squeezed + (row + 1) * (tile.width + 2) + column + 1;
  const auto load = [&](int, const Tap& tap) { return activation(centre[tap.offset]); };
  for (int b = static_cast<int>(blockIdx.y); b < task.expands.block_count; b += task.splits) {
    const OutputBlock block = task.expands.blocks[b];
    Sums<T> sums[1];
    sum_clusters(task.expands, b, stage, load, sums);
    if (kPooled) {
      SQUISH_UNROLL
      for (int c = 0; c < kClusterChannels; ++c) {
        pixels[c * kThreads + thread_index()] = at_least(task.expands.floor, sums[0].totals[c]);
      }
      pool_tile(pixels, tile, task.tiling, task.in.height, task.in.width, block, task.out, image);
    } else if (writes) {
      const int64_t plane = int64_t{task.out.height} * task.out.width;
      T* const out = task.out.data + image * task.out.image_stride + block.first_channel * plane;
      SQUISH_UNROLL
      for (int c = 0; c < kClusterChannels; ++c) {
        if (c < block.channels) {
          store(out + c * plane + int64_t{y} * task.out.width + x,
                at_least(task.expands.floor, sums[0].totals[c]));
        }
      }
    }
  }
}

}  // namespace cuda
}  // namespace squish
