// Integer arithmetic: AVX2. vpmaddubsw multiplies 32 bytes and adds pairs of products, but in 16 bits, which do not hold the
// largest. So columns are summed in runs. A narrow run stays in 16 bits: its weights are so small that whatever the
// activations are its sums fit, which of weights of four bits are some dozens of columns. A wide run has weights of 16 bits,
// for vpmaddwd: half the speed.
#pragma once

#include "cpu/isa/integers_ymm.h"

namespace squish {
namespace {

constexpr int kMaxIntegerTile = 6;  // 12 narrow sums, 2 weights, a quad and a product of the 16 registers
constexpr int kMaxWideTile = 4;     // 8 sums, 4 weights, 2 of activations, a mask and a product

// A cluster begins with its weights, int8 [16][4] or int16 [inputs 0 and 2, inputs 1 and 3][16][2]. Behind them is what is left
// of the run that it is in: its columns, or, if it is wide, minus these.
constexpr int kWeights = kClusterOutputs * kClusterInputs;
constexpr int kRunAt = 2 * kWeights;
constexpr int kClusterBytes = kRunAt + 32;
constexpr ptrdiff_t kShortestNarrowRun = 3;  // what adds it to sums of 32 bits is paid once a run
constexpr IntegerCosts kCosts{2.9, 1.5, 5};

struct NarrowSums {
  __m256i low, high;  // of inputs 0 and 1, and of 2 and 3, side by side
};
struct Cluster {
  __m256i even_low, even_high, odd_low, odd_high;
};
struct NarrowCluster {
  __m256i low, high;
};
struct Quad {
  __m256i even, odd;  // inputs 0 and 2; 1 and 3
};

// How many clusters from the first on fit a narrow run: of its positive products alone, and of its negative ones.
inline ptrdiff_t narrow_run(const int8_t* clusters, ptrdiff_t count) {
  constexpr int kMost = INT16_MAX / UINT8_MAX;
  int positive[kWeights / 2] = {}, negative[kWeights / 2] = {};
  for (ptrdiff_t k = 0; k < count; ++k, clusters += kWeights) {
    for (int w = 0; w < kWeights; ++w) {
      int& sum = (clusters[w] > 0 ? positive : negative)[w / 2];
      sum += clusters[w] > 0 ? clusters[w] : -clusters[w];
      if (sum > kMost) return k;
    }
  }
  return count;
}

// Up to where a wide run goes on: to the next narrow one that is not too short.
inline ptrdiff_t wide_run(const int8_t* clusters, ptrdiff_t count) {
  for (ptrdiff_t k = 1; k + kShortestNarrowRun <= count; ++k) {
    if (narrow_run(clusters + k * kWeights, kShortestNarrowRun) == kShortestNarrowRun) return k;
  }
  return count;
}

inline void pack_cluster(const int8_t* cluster, ptrdiff_t left_of_run, uint8_t* packed) {
  if (left_of_run > 0) {
    __builtin_memcpy(packed, cluster, kWeights);
  } else {
    int16_t weights[kWeights];
    for (int w = 0; w < kWeights; ++w)
      weights[w % 2 * (kWeights / 2) + w / 2] = static_cast<int16_t>(+cluster[w]);
    __builtin_memcpy(packed, weights, sizeof weights);
  }
  __builtin_memcpy(packed + kRunAt, &left_of_run, sizeof left_of_run);
}
inline void pack_clusters(const int8_t* clusters, ptrdiff_t count, uint8_t* packed) {
  for (ptrdiff_t begin = 0, end = 0; begin < count; begin = end) {
    const int8_t* first = clusters + begin * kWeights;
    const ptrdiff_t narrow = narrow_run(first, count - begin);
    const bool is_narrow = narrow >= kShortestNarrowRun;
    end = begin + (is_narrow ? narrow : wide_run(first, count - begin));
    for (ptrdiff_t k = begin; k < end; ++k)
      pack_cluster(clusters + k * kWeights, is_narrow ? end - k : k - end, packed + k * kClusterBytes);
  }
}
inline ptrdiff_t load_run(const uint8_t* p) {
  ptrdiff_t left_of_run;
  __builtin_memcpy(&left_of_run, p + kRunAt, sizeof left_of_run);
  return left_of_run;
}

inline Cluster load_cluster(const uint8_t* p) {
  return {load_256(p), load_256(p + 32), load_256(p + 64), load_256(p + 96)};
}
inline NarrowCluster load_narrow_cluster(const uint8_t* p) { return {load_256(p), load_256(p + 32)}; }
inline Quad broadcast_quad(const uint8_t* p) {
  const __m256i quads = broadcast_4_bytes(p);
  return {_mm256_and_si256(quads, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16(quads, 8)};
}

inline Sums dot(Sums sums, Cluster weights, Quad quad) {
  const __m256i low = _mm256_add_epi32(sums.low, _mm256_madd_epi16(quad.even, weights.even_low));
  const __m256i high = _mm256_add_epi32(sums.high, _mm256_madd_epi16(quad.even, weights.even_high));
  return {_mm256_add_epi32(low, _mm256_madd_epi16(quad.odd, weights.odd_low)),
          _mm256_add_epi32(high, _mm256_madd_epi16(quad.odd, weights.odd_high))};
}
// As text: with _mm256_add_epi16 GCC 12 multiplies for all pixels before it adds, and keeps sums on the stack.
inline NarrowSums dot(NarrowSums sums, NarrowCluster weights, __m256i quad) {
  asm("vpaddw %1, %0, %0" : "+x"(sums.low) : "x"(_mm256_maddubs_epi16(quad, weights.low)));
  asm("vpaddw %1, %0, %0" : "+x"(sums.high) : "x"(_mm256_maddubs_epi16(quad, weights.high)));
  return sums;
}
inline void store_sums(int32_t* p, Sums a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), a.high);
}
inline Sums add(Sums sums, NarrowSums narrow) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_add_epi32(sums.low, _mm256_madd_epi16(narrow.low, ones)),
          _mm256_add_epi32(sums.high, _mm256_madd_epi16(narrow.high, ones))};
}

}  // namespace
}  // namespace squish
