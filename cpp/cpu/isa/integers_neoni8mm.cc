// Integer arithmetic: the matrix products of Armv8.6 (i8mm). smmla multiplies eight activations of two pixels with eight weights
// of two outputs: twice sdot's products. So columns are taken in pairs, and pixels, too.
#include "cpu/isa/integers_neondot.h"
// The arithmetic comes first: the bodies below are written over it.
#include "cpu/isa/integer_table-inl.h"

namespace squish {
namespace {

constexpr int kOutputPairs = kClusterOutputs / 2;

// A pair of columns, in 128 bytes: [pairs of outputs][2 outputs][2 columns][4 inputs]. The last of an odd number is as it was.
inline void pack_pairs(const int8_t* clusters, ptrdiff_t count, uint8_t* packed) {
  for (; count >= 2; count -= 2, clusters += 2 * kClusterBytes) {
    for (ptrdiff_t o = 0; o < kClusterOutputs; ++o, packed += 2 * kClusterInputs) {
      __builtin_memcpy(packed, clusters + o * kClusterInputs, kClusterInputs);
      __builtin_memcpy(packed + kClusterInputs, clusters + kClusterBytes + o * kClusterInputs,
                       kClusterInputs);
    }
  }
  if (count > 0) __builtin_memcpy(packed, clusters, kClusterBytes);
}

// Sums of two pixels: [pairs of outputs][2 pixels][2 outputs].
struct PairSums {
  int32x4_t v[kOutputPairs];
};

template <int kPixel>
inline Sums sums_of(const PairSums& sums) {
  const auto quarter = [&](int q) SQUISH_LAMBDA_INLINE {
    const int64x2_t a = vreinterpretq_s64_s32(sums.v[2 * q]), b = vreinterpretq_s64_s32(sums.v[2 * q + 1]);
    return vreinterpretq_s32_s64(kPixel == 0 ? vzip1q_s64(a, b) : vzip2q_s64(a, b));
  };
  return {{quarter(0), quarter(1), quarter(2), quarter(3)}};
}

// The activations of two columns at a pixel: of columns side by side, and of any.
inline int8x8_t load_neighbours(const uint8_t* p) { return vld1_s8(reinterpret_cast<const int8_t*>(p)); }
inline int8x8_t load_quads(const uint8_t* p, const uint8_t* q) {
  return vreinterpret_s8_s32(vzip1_s32(vreinterpret_s32_s8(load_quad(p)), vreinterpret_s32_s8(load_quad(q))));
}

// The weights of two outputs: of a pair of columns, and of a last one alone, beside which are zeros.
inline int8x16_t load_pair(const int8_t* weights, int outputs) { return vld1q_s8(weights + 16 * outputs); }
inline int8x16_t load_alone(const int8_t* weights, int outputs) {
  return vreinterpretq_s8_u64(vmovl_u32(vreinterpret_u32_s8(vld1_s8(weights + 8 * outputs))));
}

template <bool kPooled>
struct IntegerConvInPairs : IntegerTiles<kPooled> {
  static constexpr int kMaxTile = 6;  // 24 sums, 3 of activations and 5 of weights: all 32 registers

  template <int kRows, int kPixels, int kStep, int kBlocks>
  static void tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output);
};

template <bool kPooled>
template <int kRows, int kPixels, int kStep, int kBlocks>
void IntegerConvInPairs<kPooled>::tile(const IntegerConvTask& task, const uint8_t* input, uint8_t* output) {
  constexpr int kTile = kRows * kPixels, kPairs = (kTile + 1) / 2;
  const ptrdiff_t step = kStep ? kStep : task.input_step;
  PairSums sum[kPairs];
  unroll<kOutputPairs>([&](auto o) SQUISH_LAMBDA_INLINE {
    const int32x2_t start = vld1_s32(task.start + 2 * o);
    unroll<kPairs>([&](auto i) SQUISH_LAMBDA_INLINE { sum[i].v[o] = vcombine_s32(start, start); });
  });
  const auto* weights = reinterpret_cast<const int8_t*>(task.weights);
  const int32_t* offsets = task.offsets;
  // load(pixel, that of the next column) reads activations.
  const auto add = [&](ptrdiff_t to_next, const auto& load, const auto& load_weights) SQUISH_LAMBDA_INLINE {
    const uint8_t* first = input + *offsets;
    const auto at_pixel = [&](int p) SQUISH_LAMBDA_INLINE {
      const int in_tile = p < kTile ? p : kTile - 1;  // the last of an odd number counts twice
      const uint8_t* at = first + in_tile / kPixels * task.input_row + in_tile % kPixels * step;
      return load(at, at + to_next);
    };
    int8x16_t activations[kPairs];
    unroll<kPairs>([&](auto i) SQUISH_LAMBDA_INLINE {
      activations[i] = vcombine_s8(at_pixel(2 * i), at_pixel(2 * i + 1));
    });
    unroll<kOutputPairs>([&](auto o) SQUISH_LAMBDA_INLINE {
      const int8x16_t weight = load_weights(weights, o);
      unroll<kPairs>([&](auto i) SQUISH_LAMBDA_INLINE {
        sum[i].v[o] = vmmlaq_s32(sum[i].v[o], activations[i], weight);
      });
    });
  };
  ptrdiff_t left = task.columns;
  const auto add_pair = [&](ptrdiff_t to_next, const auto& load) SQUISH_LAMBDA_INLINE {
    add(to_next, load, load_pair);
    offsets += 2;
    weights += 2 * kClusterBytes;
    left -= 2;
  };
  while (left >= 2 && offsets[1] == offsets[0] + kClusterInputs)
    add_pair(0, [](const uint8_t* p, const uint8_t*) { return load_neighbours(p); });
  while (left >= 2) add_pair(ptrdiff_t{offsets[1]} - offsets[0], load_quads);
  if (left > 0) add(0, load_quads, load_alone);
  store_results<kPooled, kRows, kPixels, kBlocks>(
      task, output, [&](auto p, auto) SQUISH_LAMBDA_INLINE { return sums_of<p % 2>(sum[p / 2]); });
}

constexpr IntegerKernels in_pairs(IntegerKernels kernels) {
  // Cycles of a model of Neoverse N2 (tools/bench/model_kernels.py), as those of dot products; V1 and V2 take half. No Arm has
  // been measured.
  kernels.costs = {1.3, 1.3, 9};
  kernels.column_pairs = true;
  kernels.pack = &pack_pairs;
  return kernels;
}

}  // namespace

constexpr IntegerKernels kNeoni8mmIntegers = in_pairs(make_integer_kernels<IntegerConvInPairs>("neoni8mm"));

}  // namespace squish
