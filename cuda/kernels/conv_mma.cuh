// Convolution with any window on tensor cores, straight from global memory: the first layer, squeezes and expands that run
// apart, the head.
#pragma once

#include "cuda/kernels/mma_pixels.cuh"

namespace squish {
namespace cuda {

// A warp's sums in shared memory: where slices of them meet, or pixels of one channel, which a warp has in many lanes. In
// registers they lie the other way round.
template <int kTiles, int kWidth>
struct KeptSums {
  using Sums = TileSums<kTiles * kTileEights, kWidth>;
  static constexpr int kPixels = kTiles * kTilePixels;
  static constexpr int kRow = KeptRow<kWidth, sizeof(float)>::kValues;
  static constexpr int kColumn =
      kPixels + 2;  // from a channel to the next: what lanes write at once is in banks of its own
  static constexpr int kFloats = kPixels * kRow;  // of a warp
  static_assert(kWidth * kClusterChannels * kColumn <= kFloats, "in either order");

  __device__ static void keep_pixels(const Sums& sums, float* kept) {
    sums.each_pixel([&](uint32_t place, const typename Sums::OfPixel& pixel_sums) {
      pixel_sums.each_block([&](int n, float first, float second) {
        set_pair(first, second, reinterpret_cast<Pair<float>*>(kept + place * kRow + pair_channel(n)));
      });
    });
  }
  __device__ static void keep_channels(const Sums& sums, float* kept) {
    sums.each_pixel([&](uint32_t place, const typename Sums::OfPixel& pixel_sums) {
      pixel_sums.each_block([&](int n, float first, float second) {
        kept[pair_channel(n) * kColumn + place] = first;
        kept[(pair_channel(n) + 1) * kColumn + place] = second;
      });
    });
  }
  // Adds up all slices of so many values: those of a group of warps follow each other. In a loop of constant length, so that
  // all are read before the first is added.
  template <int kValues>
  __device__ static void sum_up(const float* kept, int slices, float (&sums)[kValues]) {
    struct SQUISH_WORDS(kValues * sizeof(float)) Values {
      float values[kValues];
    };
    Values all = *reinterpret_cast<const Values*>(kept);
    SQUISH_UNROLL
    for (int slice = 1; slice < kMaxWarps; ++slice) {
      if (slice >= slices) continue;
      const Values own = *reinterpret_cast<const Values*>(kept + slice * kFloats);
      SQUISH_UNROLL
      for (int i = 0; i < kValues; ++i) all.values[i] += own.values[i];
    }
    memcpy(sums, all.values, sizeof sums);
  }
};

// A warp computes kTiles tiles of pixels, in reading order of all images, by the blocks of a bundle; or a slice of their
// sums, which the warps of the same pixels then add. Grid: (pixels, bundles).
template <typename T, int kTiles, int kWidth>
__global__ void __launch_bounds__(kMaxWarps* kLanes, kTiles) conv_mma(MmaConvTask<T> task) {
  using Kept = KeptSums<kTiles, kWidth>;
  SQUISH_DYNAMIC_SHARED(float, kept);  // [warps][Kept::kFloats], where sums are sliced or leave in planes
  const Bundle bundle = task.convs.bundles[blockIdx.y];
  const AllPixels pixels(task.image_pixels, task.row_pixels, task.images);
  const Output<T> output(task.out);
  const int slice = warp_index() % task.slices, group = warp_index() / task.slices;
  const uint32_t first = (blockIdx.x * (task.warps / task.slices) + group) * Kept::kPixels;
  const auto where = [&](uint32_t place, uint32_t* image, uint32_t* pixel) {
    const uint32_t at = first + place;
    *image = divide(at, task.image_pixels);
    *pixel = at - *image * task.image_pixels.divisor;
    return at < pixels.end;
  };
  typename Kept::Sums sums;
  wait_for_earlier_kernels();
  if (task.slices == 1 && task.results == nullptr) {
    if (first >= pixels.end) return;
    sum_pixels<false>(task, bundle, pixels, first, 0, 1, &sums);
    write_sums(output, task.convs, bundle, sums, where);
    return;
  }
  sum_pixels<false>(task, bundle, pixels, first, slice, task.slices, &sums);
  float* const own = kept + warp_index() * Kept::kFloats;
  const float* const of_group = kept + group * task.slices * Kept::kFloats;
  const int thread = slice * kLanes + lane_index(), threads = task.slices * kLanes;  // of the group
  if (task.results == nullptr) {
    Kept::keep_pixels(sums, own);
    __syncthreads();
    const int quads = bundle.blocks * kBlockQuads;
    for (int i = thread; i < Kept::kPixels * quads; i += threads) {
      const int place = bundle.blocks == 1 ? i / kBlockQuads : i / (2 * kBlockQuads),
                quad = i - place * quads;
      uint32_t image, pixel;
      if (!where(static_cast<uint32_t>(place), &image, &pixel)) break;
      float all[kQuad];
      Kept::sum_up(of_group + place * Kept::kRow + quad * kQuad, task.slices, all);
      output.write(bundle.first_block + quad / kBlockQuads, quad % kBlockQuads,
                   Output<T>::finished(task.convs, all), image, pixel);
    }
  } else {
    Kept::keep_channels(sums, own);
    __syncthreads();
    uint32_t image, pixel;  // the same in each turn, as a pixel's number divides that of the threads
    if (!where(static_cast<uint32_t>(thread % Kept::kPixels), &image, &pixel)) return;
    const float* const from = of_group + thread % Kept::kPixels;
    float* const planes =
        task.results + int64_t{image} * task.segments.channels * task.image_pixels.divisor + pixel;
    for (int channel = thread / Kept::kPixels; channel < bundle.blocks * kClusterChannels;
         channel += threads / Kept::kPixels) {
      const int used =
          used_channel(task.segments, kClusterChannels, bundle.first_block * kClusterChannels + channel);
      if (used < 0) continue;
      float sum[1];
      Kept::sum_up(from + channel * Kept::kColumn, task.slices, sum);
      planes[int64_t{used} * task.image_pixels.divisor] = at_least(task.convs.floor, sum[0]);
    }
  }
}

// With SqueezeNet's pool: a block of threads computes a tile, of which only the maxima leave the chip. Grid: (tiles, bundles,
// images).
template <typename T, int kTiles, int kWidth>
__global__ void __launch_bounds__(kMaxWarps* kLanes, kTiles) conv_mma_pooled(MmaConvTask<T> task) {
  constexpr int kPixels = kTiles * kTilePixels, kRow = KeptRow<kWidth, static_cast<int>(sizeof(T))>::kValues;
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
