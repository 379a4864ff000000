// Convolution of bytes on tensor cores, with any window: conv_mma.cuh on planes of quads, to the same bits as
// integer_conv.cuh.
//
// WHAT A LANE LOADS are the registers that a tensor core takes, as in bundles.cuh. Lane l of a warp, with g = l / 4 and
// t = l % 4, reads quad t of a step for the pixel of column g, one word, and that quad's weights for output channels 2 g and
// 2 g + 1 of the block: rows g and g + 8. So the sums that it gets are channels 2 g and 2 g + 1 of the pixels of columns 2 t
// and 2 t + 1. Eight lanes of one t read eight pixels side by side: a sector of memory. Two steps are one product of 32.
#pragma once

#include "cuda/kernels/integer_conv.cuh"
#include "cuda/kernels/mma_pixels.cuh"

namespace squish {
namespace cuda {

// A lane's weights of a step for one block: of two output channels.
struct alignas(8) QuadPair {
  ByteQuad outputs[kPair];
};

// A warp's sums: of each eight pixels a lane holds two, of each block two channels, [2 * channel + pixel].
template <int kEights, int kWidth>
struct IntegerTileSums {
  int32_t values[kEights][kWidth][4];

  // With this lane's of a bundle's blocks; null: with zeros.
  __device__ void begin(const int32_t* start, int blocks) {
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      SQUISH_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int32_t value = start != nullptr && n < blocks ? start[pair_channel(n) + i / 2] : 0;
        SQUISH_UNROLL
        for (int eight = 0; eight < kEights; ++eight) values[eight][n][i] = value;
      }
    }
  }
};

// Of this lane's pixels of so many eights, where it reads its quads. kPadded: windows reach beyond the image.
template <bool kPadded, int kEights>
struct ByteQuads {
  const ByteQuad* quads;
  uint32_t image_quads;
  uint32_t pixel[kEights];  // of quad 0 under the window's origin without padding
  int y[kEights], x[kEights];
  int height, width;
  ByteQuad padding;

  __device__ explicit ByteQuads(const IntegerConvTask& task)
      : quads(task.in.data),
        image_quads(static_cast<uint32_t>(task.in.image_stride)),
        height(task.in.height),
        width(task.in.width),
        padding(task.padding) {}

  __device__ void own(int eight, const OutputPixel& at, int stride_h, int stride_w) {
    y[eight] = at.y * stride_h;
    x[eight] = at.x * stride_w;
    pixel[eight] =
        static_cast<uint32_t>(at.image) * image_quads + static_cast<uint32_t>(y[eight] * width + x[eight]);
  }
  __device__ uint32_t operator()(int eight, const Tap& tap) const {
    const bool inside =
        !kPadded || (static_cast<unsigned>(y[eight] + tap.dy) < static_cast<unsigned>(height) &&
                     static_cast<unsigned>(x[eight] + tap.dx) < static_cast<unsigned>(width));
    uint32_t bits = padding.bits;
    if (inside) bits = quads[pixel[eight] + static_cast<uint32_t>(tap.offset)].bits;
    return bits;
  }
};

// kCount steps, whose reads are all under way before the first product.
template <int kCount, bool kPadded, int kEights, int kWidth>
__device__ inline void add_byte_steps_at_once(const QuadBundles& bundles, int first,
                                              const ByteQuads<kPadded, kEights>& load,
                                              IntegerTileSums<kEights, kWidth>* sums) {
  const QuadPair* const weights =
      reinterpret_cast<const QuadPair*>(bundles.weights) + first * kWidth * kLanes + lane_index();
  Tap wheres[kCount];
  SQUISH_UNROLL
  for (int i = 0; i < kCount; ++i) wheres[i] = quad_tap(bundles.taps, first + i);
  uint32_t a[kCount][kWidth][kPair], b[kCount][kEights];
  SQUISH_UNROLL
  for (int i = 0; i < kCount; ++i) {
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      const QuadPair pair = weights[(i * kWidth + n) * kLanes];
      SQUISH_UNROLL
      for (int row = 0; row < kPair; ++row) a[i][n][row] = pair.outputs[row].bits;
    }
    SQUISH_UNROLL
    for (int eight = 0; eight < kEights; ++eight) b[i][eight] = load(eight, wheres[i]);
  }
  SQUISH_UNROLL
  for (int i = 0; i + 1 < kCount; i += 2) {
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      const uint32_t rows[4] = {a[i][n][0], a[i][n][1], a[i + 1][n][0], a[i + 1][n][1]};
      SQUISH_UNROLL
      for (int eight = 0; eight < kEights; ++eight) {
        const uint32_t columns[2] = {b[i][eight], b[i + 1][eight]};
        mma_i8(sums->values[eight][n], rows, columns);
      }
    }
  }
  if (kCount % 2 == 1) {
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      const uint32_t rows[2] = {a[kCount - 1][n][0], a[kCount - 1][n][1]};
      SQUISH_UNROLL
      for (int eight = 0; eight < kEights; ++eight) {
        const uint32_t columns[1] = {b[kCount - 1][eight]};
        mma_i8(sums->values[eight][n], rows, columns);
      }
    }
  }
}

// One of `slices` equal parts of a bundle's sums for a warp's pixels, from the one that is `first` among `pixels`. The first
// part has what sums begin with.
template <bool kPadded, int kEights, int kWidth, typename Pixels>
__device__ inline void sum_byte_slice(const IntegerMmaTask& task, const Bundle& bundle, const Pixels& pixels,
                                      uint32_t first, int slice, int slices,
                                      IntegerTileSums<kEights, kWidth>* sums) {
  constexpr int kAtOnce = 4;
  ByteQuads<kPadded, kEights> load(task.conv);
  SQUISH_UNROLL
  for (int eight = 0; eight < kEights; ++eight) {
    const uint32_t at = first + eight * kEight + lane_index() / kStepQuads;
    load.own(eight, pixels(at < pixels.end ? at : pixels.end - 1), task.conv.stride_h,
             task.conv.stride_w);  // beyond: nobody looks at it
  }
  sums->begin(slice == 0 ? task.conv.clusters.bias + bundle.first_block * kClusterChannels : nullptr,
              bundle.blocks);
  int step = bundle.first_step + bundle.steps * slice / slices;
  const int last = bundle.first_step + bundle.steps * (slice + 1) / slices;
  for (; step + kAtOnce <= last; step += kAtOnce)
    add_byte_steps_at_once<kAtOnce>(task.bundles, step, load, sums);
  if (last - step >= 2) {
    add_byte_steps_at_once<2>(task.bundles, step, load, sums);
    step += 2;
  }
  if (step < last) add_byte_steps_at_once<1>(task.bundles, step, load, sums);
}

template <int kEights, int kWidth, typename Pixels>
__device__ inline void sum_bytes(const IntegerMmaTask& task, const Bundle& bundle, const Pixels& pixels,
                                 uint32_t first, int slice, int slices,
                                 IntegerTileSums<kEights, kWidth>* sums) {
  if (task.conv.padded) {
    sum_byte_slice<true>(task, bundle, pixels, first, slice, slices, sums);
  } else {
    sum_byte_slice<false>(task, bundle, pixels, first, slice, slices, sums);
  }
}

// What becomes of this lane's sums in one block of output channels: results of its channels 2 g and 2 g + 1.
struct PairResults {
  IntegerResults results;
  float factor[kPair], term[kPair], floor;
  int low;

  __device__ PairResults(const IntegerConvTask& task, int block_index)
      : results(task, block_index), floor(task.clusters.floor), low(task.low) {
    SQUISH_UNROLL
    for (int i = 0; i < kPair; ++i) {
      factor[i] = task.factor[block_index * kClusterChannels + pair_channel(0) + i];
      term[i] = task.term[block_index * kClusterChannels + pair_channel(0) + i];
    }
  }

  // The quad that its channels are in, and whether that is the output's.
  __device__ int quad() const { return pair_channel(0) / kQuad; }
  __device__ bool has_quad() const { return quad() < results.quads; }

  __device__ float value(int32_t sum, int i) const { return scaled(__int2float_rn(sum), factor[i], term[i]); }
  __device__ float not_less(int32_t sum, int i) const { return at_least(floor, value(sum, i)); }
  __device__ uint32_t byte(int32_t sum, int i) const {
    return static_cast<uint32_t>(rounded_byte(value(sum, i), low));
  }

  // Of the pixels of columns 2 t and 2 t + 1 this lane has a pair of channels, and its neighbour the other pair of the quad: each
  // gives one away, and has a quad of one pixel: of column 2 t + odd(). All lanes of the warp come here.
  __device__ static int odd() { return lane_index() / kStepQuads % 2; }
  __device__ void make_quad(const int32_t (&sums)[4], ByteQuad* quad) const {
    uint32_t pairs[2];
    SQUISH_UNROLL
    for (int pixel = 0; pixel < 2; ++pixel)
      pairs[pixel] = byte(sums[pixel], 0) | byte(sums[2 + pixel], 1) << 8;
    const uint32_t own = odd() ? pairs[1] : pairs[0], given = odd() ? pairs[0] : pairs[1];
    const uint32_t taken = __shfl_xor_sync(0xffffffffu, given, kStepQuads);
    quad->bits = odd() ? taken | own << 16 : own | taken << 16;
  }
  __device__ void make_quad(const int32_t (&sums)[4], FloatQuad* quad) const {
    SQUISH_UNROLL
    for (int i = 0; i < kPair; ++i) {
      const float first = not_less(sums[2 * i], i), second = not_less(sums[2 * i + 1], i);
      const float own = odd() ? second : first, given = odd() ? first : second;
      const float taken = __shfl_xor_sync(0xffffffffu, given, kStepQuads);
      quad->values[i] = odd() ? taken : own;
      quad->values[kPair + i] = odd() ? own : taken;
    }
  }
};

// Eight pixels of all images, in reading order, of which each lane has results of columns 2 t and 2 t + 1.
struct EightPixels {
  Divider image_pixels;
  uint32_t first, end;  // all images'

  // Where one of this lane's pixels lies; false where nowhere.
  __device__ bool find(int which, uint32_t* image, uint32_t* pixel) const {
    const uint32_t at = first + static_cast<uint32_t>(lane_index() % kStepQuads * 2 + which);
    *image = divide(at, image_pixels);
    *pixel = at - *image * image_pixels.divisor;
    return at < end;
  }
};

template <typename Value>
__device__ inline void write_quads(const HeldPlanes<void>& out, const PairResults& pair,
                                   const int32_t (&sums)[4], const EightPixels& pixels) {
  Value quad;
  pair.make_quad(sums, &quad);
  uint32_t image, pixel;
  if (!pair.has_quad() || !pixels.find(PairResults::odd(), &image, &pixel)) return;
  const int64_t plane = int64_t{pair.results.first_quad + pair.quad()} * pixels.image_pixels.divisor;
  static_cast<Value*>(out.data)[image * out.image_quads + plane + pixel] = quad;
}

// Writes this lane's sums of eight pixels in one block.
__device__ inline void write_byte_sums(const IntegerConvTask& task, const PairResults& pair,
                                       const int32_t (&sums)[4], const EightPixels& pixels) {
  if (task.results == nullptr) {
    in_bytes(task.out.held) ? write_quads<ByteQuad>(task.out, pair, sums, pixels)
                            : write_quads<FloatQuad>(task.out, pair, sums, pixels);
    return;
  }
  const OutputBlock& block = pair.results.block;
  SQUISH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int channel = pair_channel(0) + i / 2;
    uint32_t image, pixel;
    if (channel >= block.channels || !pixels.find(i % 2, &image, &pixel)) continue;
    const int64_t plane = int64_t{image} * task.out.segments.channels + block.first_channel + channel;
    task.results[plane * pixels.image_pixels.divisor + pixel] = pair.not_less(sums[i], i / 2);
  }
}

// A warp computes kTiles tiles of pixels, in reading order of all images, by the blocks of a bundle; or a slice of their sums,
// which the warps of the same pixels then add. Grid: (pixels, bundles).
template <int kTiles, int kWidth>
__global__ void __launch_bounds__(kMaxWarps* kLanes, kTiles) integer_conv_mma(IntegerMmaTask task) {
  constexpr int kEights = kTiles * kTileEights, kPixels = kTiles * kTilePixels, kWords = kEights * kWidth * 4;
  SQUISH_DYNAMIC_SHARED(int32_t, kept);  // [warps][kWords][lanes], where sums are sliced
  const Bundle bundle = task.bundles.bundles[blockIdx.y];
  const AllPixels pixels(task.image_pixels, task.row_pixels, task.conv.images);
  const int slice = warp_index() % task.slices, group = warp_index() / task.slices;
  const uint32_t first = (blockIdx.x * (task.warps / task.slices) + group) * kPixels;
  IntegerTileSums<kEights, kWidth> sums;
  wait_for_earlier_kernels();
  if (task.slices == 1) {
    if (first >= pixels.end) return;
    sum_bytes(task, bundle, pixels, first, 0, 1, &sums);
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      if (n >= bundle.blocks) break;
      const PairResults pair(task.conv, bundle.first_block + n);
      SQUISH_UNROLL
      for (int eight = 0; eight < kEights; ++eight)
        write_byte_sums(task.conv, pair, sums.values[eight][n],
                        {task.image_pixels, first + eight * kEight, pixels.end});
    }
    return;
  }
  sum_bytes(task, bundle, pixels, first, slice, task.slices, &sums);
  int32_t* const own = kept + warp_index() * kWords * kLanes + lane_index();
  SQUISH_UNROLL
  for (int i = 0; i < kWords; ++i) own[i * kLanes] = sums.values[i / (4 * kWidth)][i / 4 % kWidth][i % 4];
  __syncthreads();
  // Each of the group's warps finishes some eights of one block: slices are 2 at least, as kWidth is at most.
  const int n = slice % kWidth;
  if (n >= bundle.blocks) return;
  const PairResults pair(task.conv, bundle.first_block + n);
  const int32_t* const of_group = kept + group * task.slices * kWords * kLanes + lane_index();
  for (int eight = slice / kWidth; eight < kEights; eight += task.slices / kWidth) {
    int32_t all[4] = {};
    SQUISH_UNROLL_BY(2)
    for (int s = 0; s < task.slices; ++s) {
      SQUISH_UNROLL
      for (int i = 0; i < 4; ++i) all[i] += of_group[(s * kWords + 4 * (eight * kWidth + n) + i) * kLanes];
    }
    write_byte_sums(task.conv, pair, all, {task.image_pixels, first + eight * kEight, pixels.end});
  }
}

// With SqueezeNet's pool: a block of threads computes a tile, of which only the maxima leave the chip. Value: ByteQuad or
// FloatQuad, as the output is held. Grid: (tiles, bundles, images).
template <typename Value, int kTiles, int kWidth>
__global__ void __launch_bounds__(kMaxWarps* kLanes, kTiles) integer_conv_mma_pooled(IntegerMmaTask task) {
  constexpr int kEights = kTiles * kTileEights, kPixels = kTiles * kTilePixels;
  SQUISH_DYNAMIC_SHARED(Value, kept);  // [quads of the bundle][task.plane_quads]
  const IntegerConvTask& conv = task.conv;
  const Bundle bundle = task.bundles.bundles[blockIdx.y];
  const Tile tile = this_tile<true>(conv.tiling);
  const RectanglePixels pixels(task.tile_row_pixels, tile.height, static_cast<int>(blockIdx.z), tile.top,
                               tile.left, conv.conv_height, conv.conv_width);
  wait_for_earlier_kernels();
  for (uint32_t first = warp_index() * kPixels; first < pixels.end; first += task.warps * kPixels) {
    IntegerTileSums<kEights, kWidth> sums;
    sum_bytes(task, bundle, pixels, first, 0, 1, &sums);
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      if (n >= bundle.blocks) break;
      const PairResults pair(conv, bundle.first_block + n);
      SQUISH_UNROLL
      for (int eight = 0; eight < kEights; ++eight) {
        Value quad;
        pair.make_quad(sums.values[eight][n], &quad);
        kept[(n * kBlockQuads + pair.quad()) * task.plane_quads + first + eight * kEight +
             lane_index() % kStepQuads * 2 + PairResults::odd()] = quad;
      }
    }
  }
  // Blocks of a bundle are of one convolution, so that their quads follow each other.
  const IntegerResults results(conv, bundle.first_block), last(conv, bundle.first_block + bundle.blocks - 1);
  pool_planes(kept, task.plane_quads, (bundle.blocks - 1) * kBlockQuads + last.quads, tile, conv.tiling,
              conv.conv_height, conv.conv_width, conv.out.height, conv.out.width, task.warps * kLanes,
              [&](int quad, int y, int x, const Value& largest) {
                store_quad(conv.out, blockIdx.z, results.first_quad + quad, y, x, largest);
              });
}

}  // namespace cuda
}  // namespace squish
