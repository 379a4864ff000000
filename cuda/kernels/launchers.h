// Fills the tables of kernels. Included by the one file of each compiler that instantiates the kernels.
#pragma once

#include "cuda/kernel_table.h"
#include "cuda/kernels/conv.cuh"
#include "cuda/kernels/conv_mma.cuh"
#include "cuda/kernels/elementwise.cuh"
#include "cuda/kernels/fire.cuh"
#include "cuda/kernels/fire_mma.cuh"
#include "cuda/kernels/integer_conv_mma.cuh"
#include "cuda/kernels/integer_others.cuh"
#include "cuda/kernels/pool.cuh"

namespace squish {
namespace cuda {

inline unsigned blocks_for(int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

// A grid whose y is what threads compute of an image beside x.
inline dim3 grid_of(unsigned x, int y, int images) {
  return dim3(x, static_cast<unsigned>(y), static_cast<unsigned>(images));
}

inline unsigned tiles_of(const Tiling& tiling) { return static_cast<unsigned>(tiling.rows * tiling.columns); }

template <typename T>
void launch_conv(const ConvTask<T>& task, Stream stream) {
  const bool pair = task.pixels == 2;
  const auto kernel = pair ? (task.padded ? conv<T, 2, true> : conv<T, 2, false>)
                           : (task.padded ? conv<T, 1, true> : conv<T, 1, false>);
  const int64_t pixels = int64_t{task.conv_height} * task.conv_width;
  const unsigned runs = blocks_for(pair ? (pixels + 1) / 2 : pixels);
  launch(kernel, grid_of(runs, task.clusters.block_count, task.images), kThreads, 0, stream, task);
}

template <typename T>
void launch_conv_pooled(const ConvTask<T>& task, Stream stream) {
  launch(task.padded ? conv_pooled<T, true> : conv_pooled<T, false>,
         grid_of(tiles_of(task.tiling), task.clusters.block_count, task.images), kThreads, 0, stream, task);
}

template <typename T>
void launch_fire(const FireTask<T>& task, Stream stream) {
  const int64_t pixel_bytes = task.squeeze_channels * int64_t{sizeof(T)};
  const auto bytes = static_cast<size_t>(squeezed_bytes(pixel_bytes, task.tiling, task.pooled));
  launch(task.pooled ? fire<T, true> : fire<T, false>,
         grid_of(tiles_of(task.tiling), task.splits, task.images), kThreads, bytes, stream, task);
}

template <typename T>
void launch_max_pool(const PoolTask<T>& task, Stream stream) {
  const int64_t values = int64_t{task.out.channels} * task.out.height * task.out.width;
  launch(max_pool<T>, grid_of(blocks_for(values), 1, task.images), kThreads, 0, stream, task);
}

template <typename T>
void launch_average(const AverageTask<T>& task, Stream stream) {
  const int channels = task.results != nullptr ? task.result_channels : task.in.channels;
  const bool blocks = task.in.step == kClusterChannels;
  const int count = blocks ? (channels + kClusterChannels - 1) / kClusterChannels : channels;
  launch(blocks ? average_blocks<T> : average<T>, grid_of(static_cast<unsigned>(count), 1, task.images),
         kThreads, 0, stream, task);
}

template <typename T>
void launch_add(const AddTask<T>& task, Stream stream) {
  const int64_t values = int64_t{task.out.channels} * task.out.height * task.out.width;
  launch(add<T>, grid_of(blocks_for(values), 1, task.images), kThreads, 0, stream, task);
}

template <typename T>
void launch_read_pixels(const PixelsTask<T>& task, Stream stream) {
  const int64_t pixels = int64_t{task.out.height} * task.out.width;
  launch(read_pixels<T>, grid_of(blocks_for(pixels), 1, task.images), kThreads, 0, stream, task);
}

template <typename T>
void launch_read_floats(const FloatsTask<T>& task, Stream stream) {
  launch(read_floats<T>, grid_of(blocks_for(task.count), 1, 1), kThreads, 0, stream, task);
}

template <typename T>
void launch_write_floats(const ResultsTask<T>& task, Stream stream) {
  const int64_t values = int64_t{task.segments.channels} * task.in.height * task.in.width;
  launch(write_floats<T>, grid_of(blocks_for(values), 1, task.images), kThreads, 0, stream, task);
}

template <typename T>
void launch_read_quads(const QuadsTask<T>& task, Stream stream) {
  const int64_t pixels = int64_t{task.out.height} * task.out.width;
  launch(read_quads<T>, grid_of(blocks_for((pixels + kReadPixels - 1) / kReadPixels), 1, task.images),
         kThreads, 0, stream, task);
}

template <typename T>
void launch_conv_mma(const MmaConvTask<T>& task, Stream stream) {
  const bool wide = task.convs.width == 2;
  const auto kernel = task.tiles == 2 ? (wide ? conv_mma<T, 2, 2> : conv_mma<T, 2, 1>)
                                      : (wide ? conv_mma<T, 1, 2> : conv_mma<T, 1, 1>);
  const int64_t pixels = int64_t{task.images} * task.conv_height * task.conv_width;
  const int64_t of_block = int64_t{task.warps / task.slices} * task.tiles * kTilePixels;
  // Sums that other warps add to, or that leave in another order.
  const bool keeps = task.slices > 1 || task.results != nullptr;
  const int64_t floats =
      keeps ? mma_kept_values(int64_t{task.warps} * task.tiles * kTilePixels, task.convs.width, sizeof(float))
            : 0;
  launch(
      kernel, grid_of(static_cast<unsigned>((pixels + of_block - 1) / of_block), task.convs.bundle_count, 1),
      static_cast<unsigned>(task.warps * kLanes), static_cast<size_t>(floats) * sizeof(float), stream, task);
}

template <typename T>
void launch_conv_mma_pooled(const MmaConvTask<T>& task, Stream stream) {
  const int64_t values = mma_kept_values(mma_pooled_pixels(task.tiling), task.convs.width, sizeof(T));
  const bool wide = task.convs.width == 2;
  const auto kernel = task.tiles == 2 ? (wide ? conv_mma_pooled<T, 2, 2> : conv_mma_pooled<T, 2, 1>)
                                      : (wide ? conv_mma_pooled<T, 1, 2> : conv_mma_pooled<T, 1, 1>);
  launch(kernel, grid_of(tiles_of(task.tiling), task.convs.bundle_count, task.images),
         static_cast<unsigned>(task.warps * kLanes), static_cast<size_t>(values) * sizeof(T), stream, task);
}

template <typename T>
void launch_fire_mma(const MmaFireTask<T>& task, Stream stream) {
  const int64_t values =
      mma_fire_values(task.squeeze_blocks, task.tiling, task.pooled, task.expands.width, sizeof(T));
  launch(task.pooled ? fire_mma<T, true> : fire_mma<T, false>,
         grid_of(tiles_of(task.tiling), task.splits, task.images), static_cast<unsigned>(task.warps * kLanes),
         static_cast<size_t>(values) * sizeof(T), stream, task);
}

template <typename T>
KernelTable<T> make_kernel_table() {
  return {launch_conv<T>,         launch_conv_pooled<T>, launch_fire<T>,        launch_max_pool<T>,
          launch_average<T>,      launch_add<T>,         launch_read_pixels<T>, launch_read_floats<T>,
          launch_write_floats<T>, launch_read_quads<T>,  launch_conv_mma<T>,    launch_conv_mma_pooled<T>,
          launch_fire_mma<T>};
}

template <typename Data>
bool is_bytes(const HeldPlanes<Data>& planes) {
  return planes.held.scale != 0;
}

inline void launch_integer_conv(const IntegerConvTask& task, Stream stream) {
  const bool pair = task.pixels == 2;
  const auto kernel = pair ? (task.padded ? integer_conv<2, true> : integer_conv<2, false>)
                           : (task.padded ? integer_conv<1, true> : integer_conv<1, false>);
  const int64_t pixels = int64_t{task.conv_height} * task.conv_width;
  launch(kernel,
         grid_of(blocks_for(pair ? (pixels + 1) / 2 : pixels), task.clusters.block_count, task.images),
         kThreads, 0, stream, task);
}

inline void launch_integer_conv_pooled(const IntegerConvTask& task, Stream stream) {
  const auto kernel =
      is_bytes(task.out)
          ? (task.padded ? integer_conv_pooled<ByteQuad, true> : integer_conv_pooled<ByteQuad, false>)
          : (task.padded ? integer_conv_pooled<FloatQuad, true> : integer_conv_pooled<FloatQuad, false>);
  launch(kernel, grid_of(tiles_of(task.tiling), task.clusters.block_count, task.images), kThreads, 0, stream,
         task);
}

inline void launch_integer_conv_mma(const IntegerMmaTask& task, Stream stream) {
  const bool wide = task.bundles.width == 2;
  const auto kernel = task.tiles == 2 ? (wide ? integer_conv_mma<2, 2> : integer_conv_mma<2, 1>)
                                      : (wide ? integer_conv_mma<1, 2> : integer_conv_mma<1, 1>);
  const int64_t pixels = int64_t{task.conv.images} * task.conv.conv_height * task.conv.conv_width;
  const int64_t of_block = int64_t{task.warps / task.slices} * task.tiles * kTilePixels;
  const int64_t words = task.slices > 1 ? task.warps * mma_kept_words(task.tiles, task.bundles.width) : 0;
  launch(kernel,
         grid_of(static_cast<unsigned>((pixels + of_block - 1) / of_block), task.bundles.bundle_count, 1),
         static_cast<unsigned>(task.warps * kLanes), static_cast<size_t>(words) * sizeof(int32_t), stream,
         task);
}

template <typename Value>
void launch_integer_conv_mma_pooled(const IntegerMmaTask& task, Stream stream) {
  const bool wide = task.bundles.width == 2;
  const auto kernel =
      task.tiles == 2 ? (wide ? integer_conv_mma_pooled<Value, 2, 2> : integer_conv_mma_pooled<Value, 2, 1>)
                      : (wide ? integer_conv_mma_pooled<Value, 1, 2> : integer_conv_mma_pooled<Value, 1, 1>);
  const auto values = static_cast<size_t>(task.bundles.width * kBlockQuads * task.plane_quads);
  launch(kernel, grid_of(tiles_of(task.conv.tiling), task.bundles.bundle_count, task.conv.images),
         static_cast<unsigned>(task.warps * kLanes), values * sizeof(Value), stream, task);
}

inline void launch_integer_conv_mma_pooled(const IntegerMmaTask& task, Stream stream) {
  is_bytes(task.conv.out) ? launch_integer_conv_mma_pooled<ByteQuad>(task, stream)
                          : launch_integer_conv_mma_pooled<FloatQuad>(task, stream);
}

// Of an image.
inline int64_t quads_of(const HeldPlanes<void>& out) { return int64_t{out.quads} * out.height * out.width; }

inline void launch_integer_max_pool(const IntegerPoolTask& task, Stream stream) {
  launch(is_bytes(task.out) ? integer_max_pool<ByteQuad> : integer_max_pool<FloatQuad>,
         grid_of(blocks_for(quads_of(task.out)), 1, task.images), kThreads, 0, stream, task);
}

inline void launch_integer_average(const IntegerAverageTask& task, Stream stream) {
  launch(is_bytes(task.in) ? integer_average<ByteQuad> : integer_average<FloatQuad>,
         grid_of(static_cast<unsigned>(task.in.quads), 1, task.images), kThreads, 0, stream, task);
}

inline void launch_integer_add(const IntegerAddTask& task, Stream stream) {
  launch(is_bytes(task.out) ? integer_add<ByteQuad> : integer_add<FloatQuad>,
         grid_of(blocks_for(quads_of(task.out)), 1, task.images), kThreads, 0, stream, task);
}

inline void launch_integer_input(const IntegerInputTask& task, Stream stream) {
  launch(is_bytes(task.out) ? integer_input<ByteQuad> : integer_input<FloatQuad>,
         grid_of(blocks_for(quads_of(task.out)), 1, task.images), kThreads, 0, stream, task);
}

inline IntegerKernelTable make_integer_kernel_table() {
  return {launch_integer_conv,     launch_integer_conv_pooled,
          launch_integer_conv_mma, launch_integer_conv_mma_pooled,
          launch_integer_max_pool, launch_integer_average,
          launch_integer_add,      launch_integer_input};
}

}  // namespace cuda
}  // namespace squish
