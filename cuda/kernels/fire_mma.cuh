// A whole Fire on tensor cores: the squeeze of a tile and of the pixels around it goes into shared memory, in blocks of 16
// channels as everywhere; both expands read it there and write their slices of the concatenated output, pooled where a
// pool follows. Zeros around the image are part of what is in shared memory, so the expands know no edges. Grid: (tiles,
// splits, images).
#pragma once

#include "cuda/kernels/mma_pixels.cuh"

namespace squish {
namespace cuda {

constexpr int kFireTiles = 2;  // of 16 pixels, that a warp computes
constexpr int kFirePixels = kFireTiles * kTilePixels, kFireEights = kFireTiles * kTileEights;

// Computes the squeeze of the tile's halo into shared memory, [block][halo pixels][16].
template <int kWidth, typename T>
__device__ inline void squeeze_halo_mma(const MmaFireTask<T>& task, const RectanglePixels& halo,
                                        T* squeezed) {
  const int bundles = task.squeeze.bundle_count,
            groups = (static_cast<int>(halo.end) + kFirePixels - 1) / kFirePixels;
  for (int item = warp_index(); item < groups * bundles; item += task.warps) {
    const Bundle bundle = task.squeeze.bundles[item % bundles];
    const uint32_t first = static_cast<uint32_t>(item / bundles) * kFirePixels;
    TileSums<kFireEights, kWidth> sums;
    sum_global<false>(task.in, task.squeeze, bundle, 1, 1, halo, first, 0, 1, &sums);
    sums.each_pixel([&](uint32_t place, const typename TileSums<kFireEights, kWidth>::OfPixel& pixel_sums) {
      const uint32_t at = first + place;
      if (at >= halo.end) return;
      const bool inside = halo.inside(halo.anywhere(at));
      pixel_sums.each_block([&](int n, float a, float b) {
        if (n >= bundle.blocks) return;
        Pair<T> result = {};
        if (inside) result = Output<T>::finished(task.squeeze, a, b);
        T* const to = squeezed + ((bundle.first_block + n) * halo.end + at) * kClusterChannels;
        *reinterpret_cast<Pair<T>*>(to + pair_channel(0)) = result;
      });
    });
  }
}

template <bool kPooled, int kWidth, typename T>
__device__ inline void expand_squeezed(const MmaFireTask<T>& task, const Tile& tile, const T* squeezed,
                                       T* kept) {
  using Sums = TileSums<kFireEights, kWidth>;
  constexpr int kRow = KeptRow<kWidth, static_cast<int>(sizeof(T))>::kValues;
  const int image = static_cast<int>(blockIdx.z), bundles = task.expands.bundle_count;
  const RectanglePixels pixels(task.tile_row_pixels, tile.height, image, tile.top, tile.left, task.in.height,
                               task.in.width);
  const int groups = (tile.pixels() + kFirePixels - 1) / kFirePixels, halo_width = tile.width + 2;
  const auto sum_group = [&](const Bundle& bundle, uint32_t first, Sums* sums) {
    SharedQuads<T, kFireEights> input;
    input.quads = reinterpret_cast<const Quad<T>*>(squeezed);
    SQUISH_UNROLL
    for (int eight = 0; eight < kFireEights; ++eight) {
      const uint32_t at = first + read_pixel(eight), last = pixels.end - 1;
      const OutputPixel in_tile = pixels.anywhere(at < last ? at : last);
      const int y = in_tile.y - tile.top, x = in_tile.x - tile.left;
      input.pixel[eight] = ((y + 1) * halo_width + x + 1) * (kClusterChannels / kQuad);
    }
    add_slice(task.expands, bundle, 0, 1, input, sums);
  };
  if (kPooled) {
    for (int b = static_cast<int>(blockIdx.y); b < bundles; b += task.splits) {
      const Bundle bundle = task.expands.bundles[b];
      for (int group = warp_index(); group < groups; group += task.warps) {
        Sums sums;
        sum_group(bundle, static_cast<uint32_t>(group * kFirePixels), &sums);
        keep_results(task.expands, sums, kept + group * kFirePixels * kRow);
      }
      __syncthreads();
      pool_kept(kept, kRow, bundle, tile, task.tiling, task.pooled_row_pixels, task.in.height, task.in.width,
                task.out, task.warps * kLanes);
      __syncthreads();  // the next bundle may overwrite what is kept
    }
    return;
  }
  const Output<T> output(task.out);
  const int own_bundles = (bundles - static_cast<int>(blockIdx.y) + task.splits - 1) / task.splits;
  for (int item = warp_index(); item < groups * own_bundles; item += task.warps) {
    const Bundle bundle = task.expands.bundles[static_cast<int>(blockIdx.y) + item / groups * task.splits];
    const auto first = static_cast<uint32_t>(item % groups * kFirePixels);
    Sums sums;
    sum_group(bundle, first, &sums);
    write_sums(output, task.expands, bundle, sums,
               [&](uint32_t place, uint32_t* in_batch, uint32_t* in_image) {
                 const OutputPixel pixel = pixels.anywhere(first + place);
                 *in_batch = static_cast<uint32_t>(image);
                 *in_image = static_cast<uint32_t>(pixel.y * task.out.width + pixel.x);
                 const bool in_tile = first + place < pixels.end;
                 return in_tile & pixels.inside(pixel);
               });
  }
}

template <typename T, bool kPooled>
__global__ void __launch_bounds__(kMaxWarps* kLanes, 2) fire_mma(MmaFireTask<T> task) {
  SQUISH_DYNAMIC_SHARED(T, squeezed);  // [blocks][halo pixels][16], then, where pooled, [pixels][KeptRow]
  const Tile tile = this_tile<kPooled>(task.tiling);
  const RectanglePixels halo(task.halo_row_pixels, tile.height + 2, static_cast<int>(blockIdx.z),
                             tile.top - 1, tile.left - 1, task.in.height, task.in.width);
  T* const kept = squeezed + task.squeeze_blocks * static_cast<int>(halo.end) * kClusterChannels;
  wait_for_earlier_kernels();
  task.squeeze.width == 2 ? squeeze_halo_mma<2>(task, halo, squeezed)
                          : squeeze_halo_mma<1>(task, halo, squeezed);
  __syncthreads();
  task.expands.width == 2 ? expand_squeezed<kPooled, 2>(task, tile, squeezed, kept)
                          : expand_squeezed<kPooled, 1>(task, tile, squeezed, kept);
}

}  // namespace cuda
}  // namespace squish
