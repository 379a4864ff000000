// The inner loop on tensor cores: steps of four quads, for tiles of 16 pixels by blocks of 16 output channels.
//
// WHAT A LANE LOADS AT ONCE are the registers that a tensor core takes, so none has to be moved: weights are its 16 rows, pixels
// its 8 columns. (The other way round, moving registers was more than half of all instructions.) Lane l of a warp, with
// g = l / 4 and t = l % 4, reads quad t of the pixel of column g, and the weights of quad t for output channels 2 g and
// 2 g + 1 of the block: rows g and g + 8. The quad's first pair of values are products 2 t and 2 t + 1, its second 2 t + 8
// and 2 t + 9; of floats, which are multiplied a pair a step, t and t + 4. So the sums that lane l gets are channels 2 g and
// 2 g + 1 of the pixels of columns 2 t and 2 t + 1.
//
// COLUMN c IS PIXEL c ^ (c / 4) of eight: then the four pixels that half a warp reads at once in shared memory, and the four
// that a warp writes pairs of, differ modulo 4, which is what keeps them in banks of their own.
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

constexpr int kEight = 8;  // pixels that a tensor core multiplies at once
constexpr int kPair = 2;   // values of a quad, or output channels, that lie together
constexpr int kQuadPairs = kQuad / kPair;
constexpr int kBlockQuads = kClusterChannels / kQuad;

template <typename T>
struct Quad;
template <>
struct SQUISH_WORDS(16) Quad<float> {
  float values[kQuad];
};
template <>
struct SQUISH_WORDS(8) Quad<__half> {
  uint32_t pairs[kQuadPairs];
};

template <typename To, typename From>
__device__ inline To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// Two output channels of a pixel.
template <typename T>
struct Pair;
template <>
struct SQUISH_WORDS(8) Pair<float> {
  float values[kPair];
};
template <>
struct SQUISH_WORDS(4) Pair<__half> {
  uint32_t values;
};

__device__ inline void set_pair(float first, float second, Pair<float>* pair) {
  pair->values[0] = first;
  pair->values[1] = second;
}
__device__ inline void set_pair(float first, float second, Pair<__half>* pair) {
  pair->values = bits_as<uint32_t>(__halves2half2(__float2half(first), __float2half(second)));
}
__device__ inline void keep_larger(const Pair<float>& other, Pair<float>* best) {
  SQUISH_UNROLL
  for (int i = 0; i < kPair; ++i) best->values[i] = larger_float(best->values[i], other.values[i]);
}
__device__ inline void keep_larger(const Pair<__half>& other, Pair<__half>* best) {
  best->values = larger_halves(best->values, other.values);
}
__device__ inline void keep_larger(const Quad<float>& other, Quad<float>* best) {
  SQUISH_UNROLL
  for (int i = 0; i < kQuad; ++i) best->values[i] = larger_float(best->values[i], other.values[i]);
}
__device__ inline void keep_larger(const Quad<__half>& other, Quad<__half>* best) {
  SQUISH_UNROLL
  for (int i = 0; i < kQuadPairs; ++i) best->pairs[i] = larger_halves(best->pairs[i], other.pairs[i]);
}
template <typename T>
__device__ inline Quad<T> make_quad(const Pair<T>& first, const Pair<T>& second) {
  const Pair<T> pairs[kQuadPairs] = {first, second};
  return bits_as<Quad<T>>(pairs);
}
template <typename T>
__device__ inline Quad<T> make_quad(const float (&values)[kQuad]) {
  Pair<T> pairs[kQuadPairs];
  SQUISH_UNROLL
  for (int i = 0; i < kQuadPairs; ++i) set_pair(values[kPair * i], values[kPair * i + 1], pairs + i);
  return make_quad(pairs[0], pairs[1]);
}
__device__ inline void read_quad(const Quad<float>& quad, float (&values)[kQuad]) {
  memcpy(values, quad.values, sizeof values);
}
__device__ inline void read_quad(const Quad<__half>& quad, float (&values)[kQuad]) {
  SQUISH_UNROLL
  for (int i = 0; i < kQuadPairs; ++i) {
    const __half2 pair = bits_as<__half2>(quad.pairs[i]);
    values[kPair * i] = __low2float(pair);
    values[kPair * i + 1] = __high2float(pair);
  }
}
// Those that a thread pools at once.
template <typename T>
struct SQUISH_WORDS(16) Quads {
  static constexpr int kCount = 16 / sizeof(Quad<T>), kValues = kCount * kQuad;
  Quad<T> quads[kCount];
};
// Into device memory.
template <typename Values>
__device__ inline void store_at_once(void* at, const Values& values) {
  uint32_t words[sizeof values / sizeof(uint32_t)];
  memcpy(words, &values, sizeof words);
  store_words(at, words);
}

// A lane's part of a step's weights for one block: of each pair of its quad, both for one output channel, both for the next.
template <typename T>
struct SQUISH_WORDS(16) BlockWeights {
  Quad<T> pairs[kQuadPairs];
};

// The operands of a step as tensor cores take them.
template <typename T>
struct Operands;

template <>
struct Operands<__half> {
  struct Weights {
    uint32_t a[4];
  };
  struct Pixels {
    uint32_t b[2];
  };
  __device__ static Weights weights(const BlockWeights<__half>& from) {
    return {{from.pairs[0].pairs[0], from.pairs[0].pairs[1], from.pairs[1].pairs[0], from.pairs[1].pairs[1]}};
  }
  __device__ static Pixels pixels(const Quad<__half>& quad) { return {{quad.pairs[0], quad.pairs[1]}}; }
  __device__ static void multiply_add(const Weights& weights, const Pixels& pixels, float (&sums)[4]) {
    mma_f16(sums, weights.a, pixels.b);
  }
};

// A float32 in two that tensor cores take: the nearest value of 10 bits of mantissa, ties away from zero, and the rest, of
// whose bits they read the first 10. What is not a number remains one in one of them at least.
__device__ inline void split(float value, uint32_t* high, uint32_t* low) {
  constexpr uint32_t kCut = 0x1FFF;
  *high = (bits_as<uint32_t>(value) + (kCut + 1) / 2) & ~kCut;
  *low = bits_as<uint32_t>(value - bits_as<float>(*high));
}

template <>
struct Operands<float> {
  struct Weights {
    uint32_t high[kQuadPairs][4], low[kQuadPairs][4];
  };
  struct Pixels {
    uint32_t high[kQuadPairs][2], low[kQuadPairs][2];
  };
  __device__ static Weights weights(const BlockWeights<float>& from) {
    Weights to;
    SQUISH_UNROLL
    for (int pair = 0; pair < kQuadPairs; ++pair) {
      SQUISH_UNROLL
      for (int i = 0; i < kQuad; ++i) {
        const int row = i / kPair, product = i % kPair, at = kPair * product + row;
        split(from.pairs[pair].values[i], &to.high[pair][at], &to.low[pair][at]);
      }
    }
    return to;
  }
  __device__ static Pixels pixels(const Quad<float>& quad) {
    Pixels to;
    SQUISH_UNROLL
    for (int i = 0; i < kQuad; ++i)
      split(quad.values[i], &to.high[i / kPair][i % kPair], &to.low[i / kPair][i % kPair]);
    return to;
  }
  // The small ones first.
  __device__ static void multiply_add(const Weights& weights, const Pixels& pixels, float (&sums)[4]) {
    SQUISH_UNROLL
    for (int pair = 0; pair < kQuadPairs; ++pair) {
      mma_tf32(sums, weights.high[pair], pixels.low[pair]);
      mma_tf32(sums, weights.low[pair], pixels.high[pair]);
      mma_tf32(sums, weights.high[pair], pixels.high[pair]);
    }
  }
};

__device__ inline int lane_index() { return thread_index() % kLanes; }
__device__ inline int warp_index() { return thread_index() / kLanes; }

// The first of this lane's two output channels in block n of a bundle.
__device__ inline int pair_channel(int n) { return n * kClusterChannels + lane_index() / kStepQuads * kPair; }

// Which of a warp's pixels this lane reads, of the eight-th eight.
__device__ inline uint32_t read_pixel(int eight) {
  const int column = lane_index() / kStepQuads;
  return static_cast<uint32_t>(eight * kEight + (column ^ column / kStepQuads));
}
// Which two it has sums of.
__device__ inline uint32_t sum_pixel(int eight, int which) {
  const int column = lane_index() % kStepQuads * 2 + which;
  return static_cast<uint32_t>(eight * kEight + (column ^ column / kStepQuads));
}

// Sums of a warp: of each eight pixels a lane holds two, of each block two channels.
template <int kEights, int kWidth>
struct TileSums {
  float values[kEights][kWidth][4];

  // With this lane's biases of a bundle's blocks; null: with zeros.
  __device__ void begin(const float* bias) {
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      Pair<float> pair = {};
      if (bias != nullptr) pair = *reinterpret_cast<const Pair<float>*>(bias + pair_channel(n));
      SQUISH_UNROLL
      for (int eight = 0; eight < kEights; ++eight) {
        SQUISH_UNROLL
        for (int i = 0; i < 4; ++i) values[eight][n][i] = pair.values[i / 2];
      }
    }
  }

  // Those of one of its pixels.
  struct OfPixel {
    const TileSums& sums;
    int eight, which;

    // function(n, two sums) for each block of the bundle.
    template <typename Function>
    __device__ void each_block(const Function& function) const {
      SQUISH_UNROLL
      for (int n = 0; n < kWidth; ++n) {
        const float (&values)[4] = sums.values[eight][n];
        function(n, values[which], values[2 + which]);
      }
    }
  };
  // function(place, its sums) for each pixel of this lane's, by its place among the warp's.
  template <typename Function>
  __device__ void each_pixel(const Function& function) const {
    SQUISH_UNROLL
    for (int eight = 0; eight < kEights; ++eight) {
      SQUISH_UNROLL
      for (int which = 0; which < 2; ++which) function(sum_pixel(eight, which), OfPixel{*this, eight, which});
    }
  }
};

// What a lane reads for a step.
template <typename T, int kEights, int kWidth>
struct StepValues {
  Quad<T> quads[kEights];
  BlockWeights<T> weights[kWidth];

  template <typename Load>
  __device__ void read(const BlockWeights<T>* from, const Tap& where, const Load& load) {
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) weights[n] = from[n * kLanes];
    SQUISH_UNROLL
    for (int eight = 0; eight < kEights; ++eight) quads[eight] = load(eight, where);
  }
  __device__ void multiply_add(TileSums<kEights, kWidth>* sums) const {
    typename Operands<T>::Pixels pixels[kEights];
    SQUISH_UNROLL
    for (int eight = 0; eight < kEights; ++eight) pixels[eight] = Operands<T>::pixels(quads[eight]);
    SQUISH_UNROLL
    for (int n = 0; n < kWidth; ++n) {
      const typename Operands<T>::Weights operand = Operands<T>::weights(weights[n]);
      SQUISH_UNROLL
      for (int eight = 0; eight < kEights; ++eight)
        Operands<T>::multiply_add(operand, pixels[eight], sums->values[eight][n]);
    }
  }
};

// kCount steps, whose reads are all under way before the first product: a warp that is alone has nothing else to wait with.
template <int kCount, typename T, int kEights, int kWidth, typename Load>
__device__ inline void add_steps_at_once(const Bundles<T>& convs, int first, const Load& load,
                                         TileSums<kEights, kWidth>* sums) {
  const BlockWeights<T>* const weights =
      reinterpret_cast<const BlockWeights<T>*>(convs.weights) + lane_index();
  Tap wheres[kCount];
  SQUISH_UNROLL
  for (int i = 0; i < kCount; ++i) wheres[i] = load.where(convs.taps, first + i);
  StepValues<T, kEights, kWidth> values[kCount];
  SQUISH_UNROLL
  for (int i = 0; i < kCount; ++i) values[i].read(weights + (first + i) * kWidth * kLanes, wheres[i], load);
  SQUISH_UNROLL
  for (int i = 0; i < kCount; ++i) values[i].multiply_add(sums);
}

// Adds the products of steps first .. last - 1. Load: `where(taps, step)` finds the quad of this lane, `load(eight, where)`
// reads it of the lane's pixel of those eight.
template <typename T, int kEights, int kWidth, typename Load>
__device__ inline void add_steps(const Bundles<T>& convs, int first, int last, const Load& load,
                                 TileSums<kEights, kWidth>* sums) {
  constexpr int kAtOnce = kEights <= 2 ? 4 : sizeof(T) == 2 ? 2 : 1;  // that registers hold
  int step = first;
  for (; step + kAtOnce <= last; step += kAtOnce) add_steps_at_once<kAtOnce>(convs, step, load, sums);
  if (kAtOnce == 4 && last - step >= 2) {
    add_steps_at_once<2>(convs, step, load, sums);
    step += 2;
  }
  if (step < last) add_steps_at_once<1>(convs, step, load, sums);
}

// One of `slices` equal parts of a bundle's sums, of which the first begins with the biases.
template <typename T, int kEights, int kWidth, typename Load>
__device__ inline void add_slice(const Bundles<T>& convs, const Bundle& bundle, int slice, int slices,
                                 const Load& load, TileSums<kEights, kWidth>* sums) {
  sums->begin(slice == 0 ? convs.bias + bundle.first_block * kClusterChannels : nullptr);
  add_steps(convs, bundle.first_step + bundle.steps * slice / slices,
            bundle.first_step + bundle.steps * (slice + 1) / slices, load, sums);
}

__device__ inline uint32_t divide(uint32_t number, const Divider& by) {
  return static_cast<uint32_t>(uint64_t{number} * by.factor >> by.shift);
}

}  // namespace cuda
}  // namespace squish
