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
  using Sums = TileSums<kTiles, kWidth>;
  constexpr int kPixels = kTiles * kTilePixels, kWarpFloats = kPixels * Sums::kRowValues;
  SQUISH_DYNAMIC_SHARED(float, kept);  // [warps][pixels][kRowValues], where sums are sliced
  const Bundle bundle = task.convs.bundles[blockIdx.y];
  const AllPixels pixels(task.image_pixels, task.row_pixels, task.images);
  const Output<T> output(task);
  const int slice = warp_index() % task.slices, group = warp_index() / task.slices;
  const uint32_t first = (blockIdx.x * (task.warps / task.slices) + group) * kPixels;
  Sums sums;
  wait_for_earlier_kernels();
  if (task.slices == 1) {
    if (first >= pixels.end) return;
    sum_pixels<false>(task, bundle, pixels, first, 0, 1, &sums);
    SQUISH_UNROLL
    for (int row = 0; row < 2 * kTiles; ++row) {
      const uint32_t at = first + row_pixel(row);
      if (at >= pixels.end) break;
      const uint32_t image = divide(at, task.image_pixels), pixel = at - image * task.image_pixels.divisor;
      sums.each_quad(row, [&](int channel, const float (&quad)[kQuad]) {
        output.write(task.convs, bundle, channel, quad, image, pixel);
      });
    }
    return;
  }
  sum_pixels<false>(task, bundle, pixels, first, slice, task.slices, &sums);
  SQUISH_UNROLL
  for (int row = 0; row < 2 * kTiles; ++row) {
    float* const to = kept + warp_index() * kWarpFloats + row_pixel(row) * Sums::kRowValues;
    sums.each_quad(row, [&](int channel, const float (&quad)[kQuad]) { store_quad(to + channel, quad); });
  }
  __syncthreads();
  const int quads = bundle.blocks * (kClusterChannels / kQuad), of_group = slice * kLanes + lane_index();
  for (int i = of_group; i < kPixels * quads; i += task.slices * kLanes) {
    const uint32_t at = first + i / quads;
    if (at >= pixels.end) break;
    const int channel = i % quads * kQuad;
    const float* from = kept + group * task.slices * kWarpFloats + i / quads * Sums::kRowValues + channel;
    Quad<float> quad = quad_at(from);
    for (int other = 1; other < task.slices; ++other) {
      const Quad<float> part = quad_at(from + other * kWarpFloats);
      SQUISH_UNROLL
      for (int k = 0; k < kQuad; ++k) quad.values[k] += part.values[k];
    }
    const uint32_t image = divide(at, task.image_pixels), pixel = at - image * task.image_pixels.divisor;
    output.write(task.convs, bundle, channel, quad.values, image, pixel);
  }
}

// With SqueezeNet's pool: a block of threads computes a tile, of which only the maxima leave the chip. Grid: (tiles, bundles,
// images).
template <typename T, int kTiles, int kWidth>
__global__ void __launch_bounds__(kMaxWarps* kLanes, kTiles) conv_mma_pooled(MmaConvTask<T> task) {
  constexpr int kPixels = kTiles * kTilePixels;
  using Sums = TileSums<kTiles, kWidth>;
  constexpr bool kOneLoop = sizeof(T) == 4;  // for two of floats not every architecture has the registers
  SQUISH_DYNAMIC_SHARED(T, kept);            // [pixels of the tile, in whole kPixels][kRowValues]
  const Bundle bundle = task.convs.bundles[blockIdx.y];
  const Tile tile = this_tile<true>(task.tiling);
  const RectanglePixels pixels(task.tile_row_pixels, tile.height, static_cast<int>(blockIdx.z), tile.top,
                               tile.left, task.conv_height, task.conv_width);
  wait_for_earlier_kernels();
  for (uint32_t first = warp_index() * kPixels; first < pixels.end; first += task.warps * kPixels) {
    Sums sums;
    sum_pixels<kOneLoop>(task, bundle, pixels, first, 0, 1, &sums);
    keep_results(task.convs, sums, kept + first * Sums::kRowValues);
  }
  __syncthreads();
  pool_kept(kept, Sums::kRowValues, bundle, tile, task.tiling, task.pooled_row_pixels, task.conv_height,
            task.conv_width, task.out, task.warps * kLanes);
}

}  // namespace cuda
}  // namespace squish
