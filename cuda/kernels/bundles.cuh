// The inner loop on tensor cores: steps of four quads, for tiles of 16 pixels by blocks of 16 output channels.
//
// THE ORDER OF A STEP'S 16 PRODUCTS is ours to choose, as long as activations and weights agree. Lane l of a warp, with
// g = l / 4 and t = l % 4, reads quad t of pixels g and g + 8 of the tile, and the weights of quad t for two channels of the
// output block. So activations come in loads of four values, and the weights that a lane needs lie together. Which two: a
// tensor core's column 2 t + i is channel 4 t + i of the block's first half of products, 4 t + 2 + i of the second. So the
// sums that lane l gets are channels 4 t .. 4 t + 3, a quad of the output.
//
// FLOAT32 is three products of its halves: a = high + low, both of 11 bits, and a b = low high + high low + high high. What
// is left out, low low, is below 2^-22 of the product.
#pragma once

#include "cuda/kernels/common.cuh"
#include "cuda/kernels/tensor_cores.h"

// A struct that values of another type are read or written through, several at once.
#define SQUISH_WORDS(bytes) __attribute__((may_alias, aligned(bytes)))

namespace squish {
namespace cuda {

constexpr int kBlockHalves = 2;  // a tensor core has 8 columns, half a block of output channels

template <typename T>
struct Quad;
template <>
struct SQUISH_WORDS(16) Quad<float> {
  float values[kQuad];
};
template <>
struct SQUISH_WORDS(8) Quad<__half> {
  uint32_t pairs[kQuad / 2];
};

template <typename To, typename From>
__device__ inline To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

__device__ inline uint32_t pair_of(float low, float high) {
  return bits_as<uint32_t>(__halves2half2(__float2half(low), __float2half(high)));
}
__device__ inline void set_quad(const float (&values)[kQuad], Quad<float>* quad) {
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i) quad->values[i] = values[i];
}
__device__ inline void set_quad(const float (&values)[kQuad], Quad<__half>* quad) {
  SQUISH_UNROLL
  for (int i = 0; i < kQuad / 2; ++i) quad->pairs[i] = pair_of(values[2 * i], values[2 * i + 1]);
}
__device__ inline void keep_larger(const Quad<float>& other, Quad<float>* best) {
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i) best->values[i] = larger_float(best->values[i], other.values[i]);
}
__device__ inline void keep_larger(const Quad<__half>& other, Quad<__half>* best) {
  SQUISH_UNROLL
  for (int i = 0; i < kQuad / 2; ++i) best->pairs[i] = larger_halves(best->pairs[i], other.pairs[i]);
}
template <typename T>
__device__ inline void store_quad(T* at, const float (&values)[kQuad]) {
  Quad<T> quad;
  set_quad(values, &quad);
  *reinterpret_cast<Quad<T>*>(at) = quad;
}

// A lane's part of a step's weights for one block.
template <typename T>
struct SQUISH_WORDS(16) BlockWeights {
  Quad<T> halves[kBlockHalves];
};

// The operands of a step as tensor cores take them.
template <typename T>
struct Operands;

template <>
struct Operands<__half> {
  struct Weights {
    uint32_t b[kBlockHalves][2];
  };
  struct Tile {
    uint32_t a[4];
  };
  __device__ static Weights weights(const BlockWeights<__half>& from) {
    Weights to;
    SQUISH_UNROLL
    for (int half = 0; half < kBlockHalves; ++half) {
      to.b[half][0] = from.halves[half].pairs[0];
      to.b[half][1] = from.halves[half].pairs[1];
    }
    return to;
  }
  __device__ static Tile tile(const Quad<__half>& upper, const Quad<__half>& lower) {
    return {{upper.pairs[0], lower.pairs[0], upper.pairs[1], lower.pairs[1]}};
  }
  __device__ static void multiply_add(const Tile& tile, const Weights& weights,
                                      float (&sums)[kBlockHalves][4]) {
    SQUISH_UNROLL
    for (int half = 0; half < kBlockHalves; ++half) mma_f16(sums[half], tile.a, weights.b[half]);
  }
};

template <>
struct Operands<float> {
  static constexpr int kParts = 2;  // of a quad, of two values each: tensor cores take 8 products at once
  struct Weights {
    uint32_t high[kBlockHalves][kParts][2], low[kBlockHalves][kParts][2];
  };
  struct Tile {
    uint32_t high[kParts][4], low[kParts][4];
  };
  __device__ static void split(float value, uint32_t* high, uint32_t* low) {
    *high = to_tf32(value);
    *low = to_tf32(value - bits_as<float>(*high));
  }
  __device__ static Weights weights(const BlockWeights<float>& from) {
    Weights to;
    SQUISH_UNROLL
    for (int half = 0; half < kBlockHalves; ++half) {
      SQUISH_UNROLL
      for (int i = 0; i < kQuad; ++i) {
        split(from.halves[half].values[i], &to.high[half][i / 2][i % 2], &to.low[half][i / 2][i % 2]);
      }
    }
    return to;
  }
  __device__ static Tile tile(const Quad<float>& upper, const Quad<float>& lower) {
    Tile to;
    SQUISH_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      split(upper.values[i], &to.high[i / 2][i % 2 * 2], &to.low[i / 2][i % 2 * 2]);
      split(lower.values[i], &to.high[i / 2][i % 2 * 2 + 1], &to.low[i / 2][i % 2 * 2 + 1]);
    }
    return to;
  }
  // The small ones first.
  __device__ static void multiply_add(const Tile& tile, const Weights& weights,
                                      float (&sums)[kBlockHalves][4]) {
    SQUISH_UNROLL
    for (int part = 0; part < kParts; ++part) {
      SQUISH_UNROLL
      for (int half = 0; half < kBlockHalves; ++half) {
        mma_tf32(sums[half], tile.low[part], weights.high[half][part]);
        mma_tf32(sums[half], tile.high[part], weights.low[half][part]);
        mma_tf32(sums[half], tile.high[part], weights.high[half][part]);
      }
    }
  }
};

__device__ inline int lane_index() { return thread_index() % kLanes; }
__device__ inline int warp_index() { return thread_index() / kLanes; }

// The first of this lane's channels in a block of a bundle.
__device__ inline int quad_channel(int n) { return n * kClusterChannels + lane_index() % kStepQuads * kQuad; }

// Sums of a warp: a lane holds two rows of each tile, pixels g and g + 8, and a quad of each block.
template <int kTiles, int kWidth>
struct TileSums {
  static constexpr int kRowValues = kWidth * kClusterChannels + kRowPadding;  // of a pixel, in shared memory

  float values[kTiles][kWidth][kBlockHalves][4];

  // With this lane's biases of a bundle's blocks; null: with zeros.
  __device__ void begin(const float* bias) {
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      Quad<float> quad = {};
      if (bias != nullptr) quad = *reinterpret_cast<const Quad<float>*>(bias + quad_channel(n));
      SQUISH_UNROLL
      for (int i = 0; i < kQuad; ++i) {
        SQUISH_UNROLL
        for (int m = 0; m < kTiles; ++m)
          values[m][n][i / 2][i % 2] = values[m][n][i / 2][2 + i % 2] = quad.values[i];
      }
    }
  }
  // function(the first channel of the bundle, the sums of it and the next three).
  template <typename Function>
  __device__ void each_quad(int row, const Function& function) const {
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      const float (&halves)[kBlockHalves][4] = values[row / 2][n];
      const int first = row % 2 * 2;
      const float quad[kQuad] = {halves[0][first], halves[0][first + 1], halves[1][first],
                                 halves[1][first + 1]};
      function(quad_channel(n), quad);
    }
  }
};

// What a lane reads for a step.
template <typename T, int kTiles, int kWidth>
struct StepValues {
  Quad<T> rows[2 * kTiles];
  BlockWeights<T> weights[kWidth];

  template <typename Load>
  __device__ void read(const BlockWeights<T>* from, const Tap& where, const Load& load) {
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) weights[n] = from[n * kLanes];
    SQUISH_UNROLL
    for (int row = 0; row < 2 * kTiles; ++row) rows[row] = load(row, where);
  }
  __device__ void multiply_add(TileSums<kTiles, kWidth>* sums) const {
    typename Operands<T>::Tile tiles[kTiles];
    SQUISH_UNROLL
    for (int m = 0; m < kTiles; ++m) tiles[m] = Operands<T>::tile(rows[2 * m], rows[2 * m + 1]);
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      const typename Operands<T>::Weights operand = Operands<T>::weights(weights[n]);
      SQUISH_UNROLL
      for (int m = 0; m < kTiles; ++m) Operands<T>::multiply_add(tiles[m], operand, sums->values[m][n]);
    }
  }
};

// kCount steps, whose reads are all under way before the first product: a warp that is alone has nothing else to wait with.
template <int kCount, typename T, int kTiles, int kWidth, typename Load>
__device__ inline void add_steps_at_once(const Bundles<T>& convs, int first, const Load& load,
                                         TileSums<kTiles, kWidth>* sums) {
  const BlockWeights<T>* const weights =
      reinterpret_cast<const BlockWeights<T>*>(convs.weights) + lane_index();
  Tap wheres[kCount];
  SQUISH_UNROLL
  for (int i = 0; i < kCount; ++i) wheres[i] = load.where(convs.taps, first + i);
  StepValues<T, kTiles, kWidth> values[kCount];
  SQUISH_UNROLL
  for (int i = 0; i < kCount; ++i) values[i].read(weights + (first + i) * kWidth * kLanes, wheres[i], load);
  SQUISH_UNROLL
  for (int i = 0; i < kCount; ++i) values[i].multiply_add(sums);
}

// Adds the products of steps first .. last - 1. Load: `where(taps, step)` finds the quad of this lane, `load(row, where)`
// reads it of the lane's pixel in that row of the tiles.
template <typename T, int kTiles, int kWidth, typename Load>
__device__ inline void add_steps(const Bundles<T>& convs, int first, int last, const Load& load,
                                 TileSums<kTiles, kWidth>* sums) {
  constexpr int kAtOnce = kTiles == 1 ? 4 : sizeof(T) == 2 ? 2 : 1;  // that registers hold
  int step = first;
  for (; step + kAtOnce <= last; step += kAtOnce) add_steps_at_once<kAtOnce>(convs, step, load, sums);
  if (kAtOnce == 4 && last - step >= 2) {
    add_steps_at_once<2>(convs, step, load, sums);
    step += 2;
  }
  if (step < last) add_steps_at_once<1>(convs, step, load, sums);
}

// One of `slices` equal parts of a bundle's sums, of which the first begins with the biases.
template <typename T, int kTiles, int kWidth, typename Load>
__device__ inline void add_slice(const Bundles<T>& convs, const Bundle& bundle, int slice, int slices,
                                 const Load& load, TileSums<kTiles, kWidth>* sums) {
  sums->begin(slice == 0 ? convs.bias + bundle.first_block * kClusterChannels : nullptr);
  add_steps(convs, bundle.first_step + bundle.steps * slice / slices,
            bundle.first_step + bundle.steps * (slice + 1) / slices, load, sums);
}

__device__ inline uint32_t divide(uint32_t number, const Divider& by) {
  return static_cast<uint32_t>(uint64_t{number} * by.factor >> by.shift);
}

}  // namespace cuda
}  // namespace squish
