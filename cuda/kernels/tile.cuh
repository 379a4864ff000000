// Tiles of an output, and SqueezeNet's pool (3x3, stride 2, clipped at the bottom and the right) done in one.
#pragma once

#include "cuda/kernels/common.cuh"

namespace squish {
namespace cuda {

// The pixels of a convolution's output that a block of threads computes: thread t owns (top + t / width, left + t %
// width). Neighbouring tiles that are pooled share a row or a column.
struct Tile {
  int out_top, out_left;  // of the op's output
  int top, left;          // of the convolution's output
  int height, width;

  __device__ int pixels() const { return height * width; }
};

template <bool kPooled>
__device__ inline Tile this_tile(const Tiling& tiling) {
  const int index = static_cast<int>(blockIdx.x);
  Tile tile;
  tile.out_top = index / tiling.columns * tiling.height;
  tile.out_left = index % tiling.columns * tiling.width;
  tile.top = kPooled ? 2 * tile.out_top : tile.out_top;
  tile.left = kPooled ? 2 * tile.out_left : tile.out_left;
  tile.height = kPooled ? 2 * tiling.height + 1 : tiling.height;
  tile.width = kPooled ? 2 * tiling.width + 1 : tiling.width;
  return tile;
}

// The maxima of a tile's windows, for so many planes of values: channels, or quads of them. `pixels`: [planes][plane_pixels];
// conv_height and conv_width clip the windows, out_height and out_width the tile. store(plane, y, x, largest). Called by all
// threads of the block together.
template <typename Value, typename Store>
__device__ inline void pool_planes(const Value* pixels, int plane_pixels, int planes, const Tile& tile,
                                   const Tiling& tiling, int conv_height, int conv_width, int out_height,
                                   int out_width, int threads, const Store& store_largest) {
  __syncthreads();
  const int per_plane = tiling.height * tiling.width;
  for (int i = thread_index(); i < planes * per_plane; i += threads) {
    const int c = i / per_plane, row = i % per_plane / tiling.width, column = i % tiling.width;
    const int y = tile.out_top + row, x = tile.out_left + column;
    if (y >= out_height || x >= out_width) continue;
    const int rows = conv_height - 2 * y < 3 ? conv_height - 2 * y : 3;
    const int columns = conv_width - 2 * x < 3 ? conv_width - 2 * x : 3;
    const Value* const window = pixels + c * plane_pixels + 2 * row * tile.width + 2 * column;
    Value best = window[0];
    for (int dy = 0; dy < rows; ++dy) {
      for (int dx = 0; dx < columns; ++dx) best = larger(best, window[dy * tile.width + dx]);
    }
    store_largest(c, y, x, best);
  }
  __syncthreads();  // the next block of channels may overwrite the pixels
}

// Into the output, for one block of channels. `pixels`: [channels][kThreads].
template <typename T>
__device__ inline void pool_tile(const float* pixels, const Tile& tile, const Tiling& tiling, int conv_height,
                                 int conv_width, const OutputBlock& block, const Planes<T>& out, int image) {
  pool_planes(pixels, kThreads, block.channels, tile, tiling, conv_height, conv_width, out.height, out.width,
              kThreads, [&](int c, int y, int x, float largest) {
                const int64_t plane = int64_t{block.first_channel + c} * out.height * out.width;
                store(out.data + image * out.image_stride + plane + y * out.width + x, largest);
              });
}

}  // namespace cuda
}  // namespace squish
