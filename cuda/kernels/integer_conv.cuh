// Convolution of bytes with any window, to bytes or to floats: conv.cuh on planes of quads, of which a cluster is one word.
// Grid: (pixels or tiles, blocks of output channels, images).
#pragma once

#include "cuda/kernels/byte_quads.cuh"
#include "cuda/kernels/conv.cuh"

namespace squish {
namespace cuda {

// Of a block of output channels: what results are made of.
struct IntegerResults {
  OutputBlock block;
  const FloatQuad *factor, *term;
  int quads;       // of the block
  int first_quad;  // of the output

  __device__ IntegerResults(const IntegerConvTask& task, int block_index)
      : block(task.clusters.blocks[block_index]),
        factor(reinterpret_cast<const FloatQuad*>(task.factor + block_index * kClusterChannels)),
        term(reinterpret_cast<const FloatQuad*>(task.term + block_index * kClusterChannels)),
        quads((block.channels + kQuad - 1) / kQuad),
        first_quad(stored_channel(task.out.segments, kQuad, block.first_channel) / kQuad) {}

  // Of a quad of the block.
  __device__ FloatQuad scaled_sums(const Sums<ByteQuad>& sums, int quad) const {
    const FloatQuad factors = factor[quad], terms = term[quad];
    FloatQuad values;
    SQUISH_UNROLL
    for (int i = 0; i < kQuad; ++i)
      values.values[i] =
          scaled(__int2float_rn(sums.totals[kQuad * quad + i]), factors.values[i], terms.values[i]);
    return values;
  }
  __device__ ByteQuad bytes(const Sums<ByteQuad>& sums, int quad, int low) const {
    const FloatQuad values = scaled_sums(sums, quad);
    int bytes[kQuad];
    SQUISH_UNROLL
    for (int i = 0; i < kQuad; ++i) bytes[i] = rounded_byte(values.values[i], low);
    return make_byte_quad(bytes);
  }
  __device__ FloatQuad floats(const Sums<ByteQuad>& sums, int quad, float floor) const {
    FloatQuad values = scaled_sums(sums, quad);
    SQUISH_UNROLL
    for (int i = 0; i < kQuad; ++i) values.values[i] = at_least(floor, values.values[i]);
    return values;
  }
};

// Where a pixel's results go, of one block of output channels.
__device__ inline void write_pixel(const IntegerConvTask& task, const IntegerResults& results,
                                   const Sums<ByteQuad>& sums, int64_t image, int pixel) {
  const int64_t pixels = int64_t{task.conv_height} * task.conv_width;
  const int64_t at = image * task.out.image_quads + results.first_quad * pixels + pixel;
  SQUISH_UNROLL
  for (int quad = 0; quad < kClusterChannels / kQuad; ++quad) {
    if (quad >= results.quads) break;
    if (in_bytes(task.out.held)) {
      static_cast<ByteQuad*>(task.out.data)[at + quad * pixels] = results.bytes(sums, quad, task.low);
      continue;
    }
    const FloatQuad values = results.floats(sums, quad, task.clusters.floor);
    if (task.results == nullptr) {
      static_cast<FloatQuad*>(task.out.data)[at + quad * pixels] = values;
      continue;
    }
    const int64_t channel = image * task.out.segments.channels + results.block.first_channel + quad * kQuad;
    SQUISH_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      if (quad * kQuad + i < results.block.channels)
        task.results[(channel + i) * pixels + pixel] = values.values[i];
    }
  }
}

// A block of threads computes a run of pixels, in reading order.
template <int kPixels, bool kPadded>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce) integer_conv(IntegerConvTask task) {
  SQUISH_STAGE(ByteQuad, stage);
  const int block_index = static_cast<int>(blockIdx.y), image = static_cast<int>(blockIdx.z);
  const int pixels = task.conv_height * task.conv_width;
  const int first = static_cast<int>(blockIdx.x) * kThreads * kPixels + thread_index();
  ConvInput<ByteQuad, kPixels, kPadded> input(task, image, task.padding);
  SQUISH_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    const int at = first + p * kThreads < pixels ? first + p * kThreads : pixels - 1;
    input.own(p, task, at / task.conv_width, at % task.conv_width);
  }
  wait_for_earlier_kernels();
  Sums<ByteQuad> sums[kPixels];
  sum_clusters(task.clusters, block_index, stage, input, sums);
  const IntegerResults results(task, block_index);
  SQUISH_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    if (first + p * kThreads >= pixels) break;
    write_pixel(task, results, sums[p], image, first + p * kThreads);
  }
}

template <typename Value>
__device__ inline void store_quad(const HeldPlanes<void>& out, int64_t image, int quad, int y, int x,
                                  const Value& value) {
  const int64_t plane = int64_t{quad} * out.height * out.width;
  static_cast<Value*>(out.data)[image * out.image_quads + plane + int64_t{y} * out.width + x] = value;
}

__device__ inline void make_result(const IntegerConvTask& task, const IntegerResults& results,
                                   const Sums<ByteQuad>& sums, int quad, ByteQuad* to) {
  *to = results.bytes(sums, quad, task.low);
}
__device__ inline void make_result(const IntegerConvTask& task, const IntegerResults& results,
                                   const Sums<ByteQuad>& sums, int quad, FloatQuad* to) {
  *to = results.floats(sums, quad, task.clusters.floor);
}

// With SqueezeNet's pool: a block of threads computes a tile, of which only the maxima leave the chip. Value: ByteQuad or
// FloatQuad, as the output is held.
template <typename Value, bool kPadded>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce) integer_conv_pooled(IntegerConvTask task) {
  SQUISH_STAGE(ByteQuad, stage);
  SQUISH_SHARED(Value, pixels, kClusterChannels / kQuad * kThreads);
  const int block_index = static_cast<int>(blockIdx.y), image = static_cast<int>(blockIdx.z);
  const Tile tile = this_tile<true>(task.tiling);
  // Threads beyond the tile or the image compute a pixel that is there; nobody looks at it.
  const int own = thread_index() < tile.pixels() ? thread_index() : 0;
  const int row = tile.top + own / tile.width, column = tile.left + own % tile.width;
  ConvInput<ByteQuad, 1, kPadded> input(task, image, task.padding);
  input.own(0, task, row < task.conv_height ? row : task.conv_height - 1,
            column < task.conv_width ? column : task.conv_width - 1);
  wait_for_earlier_kernels();
  Sums<ByteQuad> sums[1];
  sum_clusters(task.clusters, block_index, stage, input, sums);
  const IntegerResults results(task, block_index);
  SQUISH_UNROLL
  for (int quad = 0; quad < kClusterChannels / kQuad; ++quad) {
    if (quad < results.quads)
      make_result(task, results, sums[0], quad, pixels + quad * kThreads + thread_index());
  }
  pool_planes(pixels, kThreads, results.quads, tile, task.tiling, task.conv_height, task.conv_width,
              task.out.height, task.out.width, kThreads, [&](int quad, int y, int x, const Value& largest) {
                store_quad(task.out, image, results.first_quad + quad, y, x, largest);
              });
}

}  // namespace cuda
}  // namespace squish
