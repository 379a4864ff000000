// IEEE 754 binary16 <-> binary32, without hardware or compiler support for it.
#pragma once

#include <cstdint>
#include <cstring>

namespace squish {

inline constexpr float kMaxHalf = 65504;  // the largest finite one

// m / 2^shift, to nearest, ties to even; shift 1 to 31.
inline uint32_t shift_to_nearest_even(uint32_t m, uint32_t shift) {
  const uint32_t quotient = m >> shift, rest = m & ((1u << shift) - 1), half = 1u << (shift - 1);
  return quotient + (rest > half || (rest == half && (quotient & 1) != 0) ? 1u : 0u);
}

// To nearest, ties to even. From 65520 on: infinity. A NaN stays one (quiet, its payload lost).
inline uint16_t half_from_float(float value) {
  constexpr uint32_t kInfinity = 0x7F800000, kFirstOverflow = 0x477FF000, kFirstNormal = 0x38800000;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7FFFFFFF;
  uint32_t half;
  if (magnitude > kInfinity) {
    half = 0x7E00;
  } else if (magnitude >= kFirstOverflow) {
    half = 0x7C00;
  } else if (magnitude >= kFirstNormal) {
    // The exponent's bias goes from 127 to 15. A carry out of the mantissa increments it, as it should.
    half = shift_to_nearest_even(magnitude - ((127u - 15u) << 23), 23 - 10);
  } else {
    // Subnormal halves count in units of 2^-24. A float of biased exponent e is mantissa * 2^(e - 150).
    const uint32_t exponent = magnitude >> 23, mantissa = (magnitude & 0x7FFFFF) | 0x800000;
    half = exponent < 102 ? 0 : shift_to_nearest_even(mantissa, 126 - exponent);
  }
  return static_cast<uint16_t>(sign | half);
}

// Exact.
inline float float_from_half(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16, exponent = (half >> 10) & 0x1F,
                 mantissa = half & 0x3FF;
  uint32_t bits;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    std::memcpy(&bits, &magnitude, sizeof bits);
  } else if (exponent == 0x1F) {
    bits = 0x7F800000 | (mantissa << 13);
  } else {
    bits = ((exponent + 127 - 15) << 23) | (mantissa << 13);
  }
  bits |= sign;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace squish
