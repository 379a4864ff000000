// How kernels store values.
#pragma once

#include "emulator/half.h"

namespace squish::testing {

template <typename T>
struct Storage;

template <>
struct Storage<float> {
  static constexpr double kEps = 0;    // relative error of storing
  static constexpr double kLeast = 0;  // absolute error of storing what is next to nothing
  static float make(float value) { return value; }
  static float get(float value) { return value; }
  static float rounded(float value) { return value; }
};

template <>
struct Storage<__half> {
  static constexpr double kEps = 0x1p-11;
  static constexpr double kLeast = 0x1p-25;
  static __half make(float value) { return __float2half(value); }
  static float get(__half value) { return __half2float(value); }
  static float rounded(float value) { return get(make(value)); }
};

}  // namespace squish::testing
