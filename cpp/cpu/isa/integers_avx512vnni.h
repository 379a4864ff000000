// Integer arithmetic: AVX-512 with VNNI. vpdpbusd multiplies 64 bytes and adds them to 16 sums.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/integer_kernels.h"
#include "cpu/isa/vec_avx512.h"

namespace squish {
namespace {

constexpr int kMaxIntegerTile = 24;
constexpr int kMaxIntegerGroup = 2;  // two blocks share each broadcast of a quad
constexpr int kPixelsAtOnce = 4;
constexpr int kActivationOffset = 0;
constexpr int kClusterBytes = 64;
constexpr IntegerCosts kCosts{0.43, 0.43, 2.2};

struct Sums {
  __m512i v;
};
struct Cluster {
  __m512i v;
};
struct Quad {
  __m512i v;
};
struct Bytes {
  __m128i v;
};
struct Bytes64 {
  __m512i v;
};

inline void pack_clusters(const int8_t* clusters, ptrdiff_t count, uint8_t* packed) {
  __builtin_memcpy(packed, clusters, static_cast<size_t>(count) * kClusterBytes);
}

inline Sums load_sums(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline Cluster load_cluster(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline Quad broadcast_quad(const uint8_t* p) {
  int quad;
  __builtin_memcpy(&quad, p, sizeof quad);
  return {_mm512_set1_epi32(quad)};
}
// As text: with _mm512_dpbusd_epi32 GCC 12 copies each accumulator before and after, and keeps copies on the stack; tiles of
// more than 14 pixels then run several times slower.
inline Sums dot(Sums sums, Cluster weights, Quad quad) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums.v) : "v"(quad.v), "v"(weights.v));
  return sums;
}

inline Sums max_sums(Sums a, Sums b) { return {_mm512_max_epi32(a.v, b.v)}; }
inline __m512 scaled(Sums sums, const float* factor, const float* term) {
  return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums.v), _mm512_loadu_ps(factor)),
                       _mm512_loadu_ps(term));
}
inline Bytes to_bytes(Sums sums, const float* factor, const float* term, int low) {
  const __m512i rounded = _mm512_cvtps_epi32(scaled(sums, factor, term));
  return {_mm512_cvtusepi32_epi8(_mm512_max_epi32(rounded, _mm512_set1_epi32(low)))};
}
// Of four pixels, in their order.
inline Bytes64 to_bytes(Sums a, Sums b, Sums c, Sums d, const float* factor, const float* term, int low) {
  const auto rounded = [&](Sums sums) { return _mm512_cvtps_epi32(scaled(sums, factor, term)); };
  // Packing takes 128 bits of each operand at a time: all pixels' channels 0 to 3, then 4 to 7, ...
  const __m512i by_quad = _mm512_packus_epi16(_mm512_packs_epi32(rounded(a), rounded(b)),
                                              _mm512_packs_epi32(rounded(c), rounded(d)));
  const __m512i by_pixel = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i bytes = _mm512_permutexvar_epi32(by_pixel, by_quad);
  return {_mm512_max_epu8(bytes, _mm512_set1_epi8(static_cast<char>(low)))};
}
inline void store_floats(uint8_t* p, Sums sums, const float* factor, const float* term, float floor) {
  _mm512_storeu_ps(p, _mm512_max_ps(_mm512_set1_ps(floor), scaled(sums, factor, term)));
}

inline Bytes load_bytes(const uint8_t* p) { return {load_16_bytes(p)}; }
inline void store_bytes(uint8_t* p, Bytes64 a) { _mm512_storeu_si512(p, a.v); }
inline void store_bytes(uint8_t* p, Bytes a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), a.v); }
inline Bytes max_bytes(Bytes a, Bytes b) { return {_mm_max_epu8(a.v, b.v)}; }
inline Bytes max_bytes(Bytes a, const uint8_t* p) { return max_bytes(a, load_bytes(p)); }
inline Bytes64 max_bytes(Bytes64 a, const uint8_t* p) {
  return {_mm512_max_epu8(a.v, _mm512_loadu_si512(p))};
}

// Three values of each pixel, rounded to bytes, and a zero. Packing makes 0 of what is less.
inline void store_quads(uint8_t* p, Vec a, Vec b, Vec c) {
  const auto rounded = [](Vec x) { return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_set1_ps(255), x.v)); };
  const __m512i by_value = _mm512_packus_epi16(_mm512_packs_epi32(rounded(a), rounded(b)),
                                               _mm512_packs_epi32(rounded(c), _mm512_setzero_si512()));
  _mm512_storeu_si512(p, _mm512_shuffle_epi8(by_value, _mm512_broadcast_i32x4(quads_of_values())));
}

}  // namespace
}  // namespace squish
