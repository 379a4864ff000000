// What the integer arithmetics of 256 bits share: all but the product of a cluster and a quad.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/integer_kernels.h"
#include "cpu/isa/vec_avx2.h"

namespace squish {
namespace {

constexpr int kMaxIntegerGroup = 1;
constexpr int kPixelsAtOnce = 2;
constexpr int kActivationOffset = 0;

struct Sums {
  __m256i low, high;  // outputs 0 to 7, 8 to 15
};
struct Bytes {
  __m128i v;
};
struct Bytes32 {
  __m256i v;
};

inline __m256i load_256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline Sums load_sums(const int32_t* p) { return {load_256(p), load_256(p + 8)}; }
inline __m256i broadcast_4_bytes(const uint8_t* p) {
  int bytes;
  __builtin_memcpy(&bytes, p, sizeof bytes);
  return _mm256_set1_epi32(bytes);
}

inline Sums max_sums(Sums a, Sums b) {
  return {_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)};
}
inline __m256 scaled(__m256i sums, const float* factor, const float* term) {
  return _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(factor)),
                       _mm256_loadu_ps(term));
}
// Words, in the order that packing leaves, in lanes of 128 bits: outputs 0 to 3, 8 to 11; 4 to 7, 12 to 15.
inline __m256i to_words(Sums sums, const float* factor, const float* term) {
  return _mm256_packs_epi32(_mm256_cvtps_epi32(scaled(sums.low, factor, term)),
                            _mm256_cvtps_epi32(scaled(sums.high, factor + 8, term + 8)));
}
inline Bytes to_bytes(Sums sums, const float* factor, const float* term, int low) {
  const __m256i words = to_words(sums, factor, term);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  const __m128i in_order = _mm_shuffle_epi32(bytes, _MM_SHUFFLE(3, 1, 2, 0));
  return {_mm_max_epu8(in_order, _mm_set1_epi8(static_cast<char>(low)))};
}
// Of two pixels, in their order.
inline Bytes32 to_bytes(Sums a, Sums b, const float* factor, const float* term, int low) {
  const __m256i by_lane = _mm256_packus_epi16(to_words(a, factor, term), to_words(b, factor, term));
  const __m256i bytes = _mm256_permutevar8x32_epi32(by_lane, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  return {_mm256_max_epu8(bytes, _mm256_set1_epi8(static_cast<char>(low)))};
}
inline void store_floats(uint8_t* p, Sums sums, const float* factor, const float* term, float floor) {
  auto* values = reinterpret_cast<float*>(p);
  _mm256_storeu_ps(values, _mm256_max_ps(_mm256_set1_ps(floor), scaled(sums.low, factor, term)));
  _mm256_storeu_ps(values + 8, _mm256_max_ps(_mm256_set1_ps(floor), scaled(sums.high, factor + 8, term + 8)));
}

inline Bytes load_bytes(const uint8_t* p) { return {load_16_bytes(p)}; }
inline void store_bytes(uint8_t* p, Bytes32 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
inline void store_bytes(uint8_t* p, Bytes a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), a.v); }
inline Bytes max_bytes(Bytes a, Bytes b) { return {_mm_max_epu8(a.v, b.v)}; }
inline Bytes max_bytes(Bytes a, const uint8_t* p) { return max_bytes(a, load_bytes(p)); }
inline Bytes32 max_bytes(Bytes32 a, const uint8_t* p) { return {_mm256_max_epu8(a.v, load_256(p))}; }

// Three values of each pixel, rounded to bytes, and a zero. Packing makes 0 of what is less.
inline void store_quads(uint8_t* p, Vec a, Vec b, Vec c) {
  const auto rounded = [](Vec x) { return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(255), x.v)); };
  const __m256i by_value = _mm256_packus_epi16(_mm256_packs_epi32(rounded(a), rounded(b)),
                                               _mm256_packs_epi32(rounded(c), _mm256_setzero_si256()));
  const __m256i quads = _mm256_shuffle_epi8(by_value, _mm256_broadcastsi128_si256(quads_of_values()));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), quads);
}

}  // namespace
}  // namespace squish
