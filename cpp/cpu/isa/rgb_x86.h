// Pixels of three bytes to planes of bytes by SSSE3's shuffle, which AVX2 and AVX-512 include.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace squish {
namespace {

// Of 16 pixels' 48 bytes in three registers, indices[c][r] moves those of channel c that are in register r to their places in
// the plane, and zeros (an index with its high bit set) to the others'.
struct RgbShuffles {
  alignas(16) uint8_t indices[3][3][16];
};

constexpr RgbShuffles rgb_shuffles() {
  RgbShuffles shuffles{};
  for (int c = 0; c < 3; ++c) {
    for (int r = 0; r < 3; ++r) {
      for (int x = 0; x < 16; ++x) {
        const int at = 3 * x + c - 16 * r;
        shuffles.indices[c][r][x] = static_cast<uint8_t>(at >= 0 && at < 16 ? at : 0x80);
      }
    }
  }
  return shuffles;
}
constexpr RgbShuffles kRgbShuffles = rgb_shuffles();

inline __m128i load_16_bytes(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

// Channel c of 16 pixels.
inline __m128i rgb_plane(const uint8_t* pixels, int c) {
  const auto part = [&](ptrdiff_t r) {
    return _mm_shuffle_epi8(load_16_bytes(pixels + 16 * r), load_16_bytes(kRgbShuffles.indices[c][r]));
  };
  return _mm_or_si128(_mm_or_si128(part(0), part(1)), part(2));
}

// In each 128 bits: from four bytes of each value, as packing leaves them, to the four values of each pixel.
inline __m128i quads_of_values() {
  return _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

}  // namespace
}  // namespace squish
