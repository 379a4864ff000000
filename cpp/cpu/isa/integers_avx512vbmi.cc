// Integer arithmetic: AVX-512 with VBMI, which looks 64 bytes up in a table of 256 at once. What a pixel's uint8 becomes is such
// a table; all else is the business of VNNI.
#include <immintrin.h>

#include "cpu/integer_kernels.h"

namespace squish {
namespace {

constexpr int kColours = 3, kPixels = 64, kBytesOfRegister = 64;

// Of 64 pixels' 192 bytes those of one colour, in the order in which unpacking them makes rows of quads: 4 of each 16 go to the
// first 16 quads, the next 4 to the next 16.
struct PlaneIndices {
  alignas(kBytesOfRegister) uint8_t of[kColours][kPixels];
};
constexpr PlaneIndices plane_indices() {
  PlaneIndices indices{};
  for (int c = 0; c < kColours; ++c) {
    for (int i = 0; i < kPixels; ++i) {
      const int lane = i / 16, quads = i % 16 / 4;
      indices.of[c][i] = static_cast<uint8_t>(kColours * (16 * quads + 4 * lane + i % 4) + c);
    }
  }
  return indices;
}
constexpr PlaneIndices kPlaneIndices = plane_indices();

inline __m512i load_64(const uint8_t* p) { return _mm512_loadu_si512(p); }

// One colour of 64 pixels.
inline __m512i plane(const __m512i* rgb, __m512i indices) {
  const __m512i of_two = _mm512_permutex2var_epi8(rgb[0], indices, rgb[1]);
  return _mm512_mask_permutexvar_epi8(of_two, _mm512_movepi8_mask(indices), indices, rgb[2]);
}

inline __m512i look_up(const __m512i* table, __m512i bytes) {
  const __m512i low = _mm512_permutex2var_epi8(table[0], bytes, table[1]);
  const __m512i high = _mm512_permutex2var_epi8(table[2], bytes, table[3]);
  return _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high);
}

struct Tables {
  __m512i of[kColours][4], indices[kColours];
};

inline void convert(const Tables& tables, const uint8_t* pixels, uint8_t* output) {
  const __m512i rgb[] = {load_64(pixels), load_64(pixels + kBytesOfRegister),
                         load_64(pixels + ptrdiff_t{2} * kBytesOfRegister)};
  const auto colour = [&](int c) { return look_up(tables.of[c], plane(rgb, tables.indices[c])); };
  const __m512i red = colour(0), green = colour(1), blue = colour(2), none = _mm512_setzero_si512();
  const __m512i red_green[] = {_mm512_unpacklo_epi8(red, green), _mm512_unpackhi_epi8(red, green)};
  const __m512i blue_none[] = {_mm512_unpacklo_epi8(blue, none), _mm512_unpackhi_epi8(blue, none)};
  for (int half = 0; half < 2; ++half, output += ptrdiff_t{2} * kBytesOfRegister) {
    _mm512_storeu_si512(output, _mm512_unpacklo_epi16(red_green[half], blue_none[half]));
    _mm512_storeu_si512(output + kBytesOfRegister, _mm512_unpackhi_epi16(red_green[half], blue_none[half]));
  }
}

// 64 pixels a turn; the last 64 of a row may be some of the 64 before them again.
void rgb_quads(const RgbQuadTask& task) {
  Tables tables;
  for (ptrdiff_t c = 0; c < kColours; ++c) {
    for (ptrdiff_t part = 0; part < 4; ++part)
      tables.of[c][part] = load_64(task.bytes + 256 * c + kBytesOfRegister * part);
    tables.indices[c] = load_64(kPlaneIndices.of[c]);
  }
  const ptrdiff_t width = task.width, last = width - kPixels;
  for (ptrdiff_t y = 0; y < task.rows; ++y) {
    const uint8_t* pixels = task.pixels + y * width * kColours;
    uint8_t* output = task.output + y * task.output_row;
    if (width < kPixels) {
      uint8_t some_pixels[kColours * kPixels] = {}, quads[kClusterInputs * kPixels];
      __builtin_memcpy(some_pixels, pixels, static_cast<size_t>(width * kColours));
      convert(tables, some_pixels, quads);
      __builtin_memcpy(output, quads, static_cast<size_t>(width * kClusterInputs));
      continue;
    }
    for (ptrdiff_t x = 0; x < width; x += kPixels) {
      const ptrdiff_t first = x < last ? x : last;
      convert(tables, pixels + kColours * first, output + kClusterInputs * first);
    }
  }
}

}  // namespace

constexpr RgbQuadKernel kAvx512vbmiRgbQuads = &rgb_quads;

}  // namespace squish
