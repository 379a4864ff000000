// Convolution with any window on tensor cores, straight from global memory: the first layer, squeezes and expands that run
// apart, the head.
#pragma once

#include "cuda/kernels/mma_pixels.cuh"

namespace squish {
namespace cuda {

// A warp computes kTiles tiles of pixels, in reading order of all images, by the blocks of a bundle; or a slice of their
// sums, which the warps of the same pixels then add. Grid: (pixels, bundles).
template <typename T, int kTiles, int kWidth>
__global__ void __launch_bounds__(kMaxWarps* kLanes, kTiles) conv_mma(MmaConvTask<T> task) {
  using Sums = TileSums<kTiles * kTileEights, kWidth>;
  constexpr int kPixels = kTiles * kTilePixels, kRow = KeptRow<kWidth, sizeof(float)>::kValues,
                kWarpFloats = kPixels * kRow;
  SQUISH_DYNAMIC_SHARED(float, kept);  // [warps][pixels][kRow], where sums are sliced
  const Bundle bundle = task.convs.bundles[blockIdx.y];
  const AllPixels pixels(task.image_pixels, task.row_pixels, task.images);
  const Output<T> output(task);
  const int slice = warp_index() % task.slices, group = warp_index() / task.slices;
  const uint32_t first = (blockIdx.x * (task.warps / task.slices) + group) * kPixels;
  const auto where = [&](uint32_t place, uint32_t* image, uint32_t* pixel) {
    const uint32_t at = first + place;
    *image = divide(at, task.image_pixels);
    *pixel = at - *image * task.image_pixels.divisor;
    return at < pixels.end;
  };
  Sums sums;
  wait_for_earlier_kernels();
  if (task.slices == 1) {
    if (first >= pixels.end) return;
    sum_pixels<false>(task, bundle, pixels, first, 0, 1, &sums);
    write_sums(output, task.convs, bundle, sums, where);
    return;
  }
  sum_pixels<false>(task, bundle, pixels, first, slice, task.slices, &sums);
  SQUISH_UNROLL
  for (int eight = 0; eight < kTiles * kTileEights; ++eight) {
    SQUISH_UNROLL
    for (int which = 0; which < 2; ++which) {
      float* const to = kept + warp_index() * kWarpFloats + sum_pixel(eight, which) * kRow;
      sums.each_block(eight, which, [&](int n, float a, float b) {
        set_pair(a, b, reinterpret_cast<Pair<float>*>(to + pair_channel(n)));
      });
    }
  }
  __syncthreads();
  constexpr int kBlockPairs = kClusterChannels / kPair;
  const int pairs = bundle.blocks * kBlockPairs, of_group = slice * kLanes + lane_index();
  for (int i = of_group; i < kPixels * pairs; i += task.slices * kLanes) {
    uint32_t image, pixel;
    if (!where(static_cast<uint32_t>(i / pairs), &image, &pixel)) break;
    const int pair = i % pairs;
    const float* from = kept + group * task.slices * kWarpFloats + i / pairs * kRow + pair * kPair;
    float first_sum = from[0], second_sum = from[1];
    for (int other = 1; other < task.slices; ++other) {
      first_sum += from[other * kWarpFloats];
      second_sum += from[other * kWarpFloats + 1];
    }
    const int n = pair / kBlockPairs, in_block = pair % kBlockPairs;
    if (output.planes == nullptr) {
      output.write_to_block(task.convs, bundle, n, in_block, first_sum, second_sum, image, pixel);
    } else {
      output.write_to_planes(task.convs, bundle, n, in_block, first_sum, second_sum, image, pixel);
    }
  }
}

// With SqueezeNet's pool: a block of threads computes a tile, of which only the maxima leave the chip. Grid: (tiles, bundles,
// images).
template <typename T, int kTiles, int kWidth>
__global__ void __launch_bounds__(kMaxWarps* kLanes, kTiles) conv_mma_pooled(MmaConvTask<T> task) {
  constexpr int kPixels = kTiles * kTilePixels, kRow = KeptRow<kWidth, sizeof(T)>::kValues;
  constexpr bool kOneLoop = sizeof(T) == 4;  // for two of floats not every architecture has the registers
  SQUISH_DYNAMIC_SHARED(T, kept);            // [pixels of the tile, in whole kPixels][kRow]
  const Bundle bundle = task.convs.bundles[blockIdx.y];
  const Tile tile = this_tile<true>(task.tiling);
  const RectanglePixels pixels(task.tile_row_pixels, tile.height, static_cast<int>(blockIdx.z), tile.top,
                               tile.left, task.conv_height, task.conv_width);
  wait_for_earlier_kernels();
  for (uint32_t first = warp_index() * kPixels; first < pixels.end; first += task.warps * kPixels) {
    TileSums<kTiles * kTileEights, kWidth> sums;
    sum_pixels<kOneLoop>(task, bundle, pixels, first, 0, 1, &sums);
    keep_results(task.convs, sums, kept + first * kRow);
  }
  __syncthreads();
  pool_kept(kept, kRow, bundle, tile, task.tiling, task.pooled_row_pixels, task.conv_height, task.conv_width,
            task.out, task.warps * kLanes);
}

}  // namespace cuda
}  // namespace squish
