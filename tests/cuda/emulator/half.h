// CUDA's half-precision types: storage of 16 bits, every operation rounded once, to nearest even.
#pragma once

#include <cmath>

#include "format/half.h"

struct __half {
  uint16_t bits;
};
struct alignas(4) __half2 {
  __half x, y;
};

namespace squish::emulator {

// Through float without rounding twice: what is cut off first leaves its trace in the last bit ("round to odd").
inline __half half_from_double(double value) {
  auto cut = static_cast<float>(value);
  if (std::isfinite(cut) && double{cut} != value) {
    if (std::abs(double{cut}) > std::abs(value)) cut = std::nextafter(cut, 0.0f);
    uint32_t bits;
    std::memcpy(&bits, &cut, sizeof bits);
    bits |= 1;
    std::memcpy(&cut, &bits, sizeof bits);
  }
  return {half_from_float(cut)};
}

}  // namespace squish::emulator

inline __half __float2half(float value) { return {squish::half_from_float(value)}; }
inline float __half2float(__half value) { return squish::float_from_half(value.bits); }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 __half2half2(__half value) { return {value, value}; }
inline __half2 __float2half2_rn(float value) { return {__float2half(value), __float2half(value)}; }
inline float __low2float(__half2 value) { return __half2float(value.x); }
inline float __high2float(__half2 value) { return __half2float(value.y); }
inline __half __hfma(__half a, __half b, __half c) {
  return squish::emulator::half_from_double(double{__half2float(a)} * double{__half2float(b)} +
                                            double{__half2float(c)});
}
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
  return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
