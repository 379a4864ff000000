// Tests of integer kernels, one for each instruction set that this CPU has.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cpu/dispatch.h"

namespace squish {

extern const IntegerKernels kEvexVnniIntegers;  // evex_vnni.cc; NOLINT(readability-identifier-naming)

namespace testing {

constexpr uint8_t kCanary = 0xA5;  // of bytes that no kernel has written

// What a sum is made of, in float operations that each round: volatile, so that nothing is fused.
inline float scaled(int64_t sum, float factor, float term) {
  const volatile float product = static_cast<float>(sum) * factor;
  return product + term;
}

inline int quantised(float value, int low) {
  return static_cast<int>(std::clamp(std::nearbyint(value), static_cast<float>(low), 255.0f));
}

// An activation in its byte, and back.
inline uint8_t byte_of(const IntegerKernels& kernels, int activation) {
  return static_cast<uint8_t>(activation - kernels.activation_offset);
}
inline int activation_of(const IntegerKernels& kernels, uint8_t byte) {
  return (byte + kernels.activation_offset) % 256;
}

class IntegerTest : public ::testing::TestWithParam<const IntegerKernels*> {
 protected:
  const IntegerKernels& kernels() const { return *GetParam(); }
};

inline std::vector<const IntegerKernels*> tested_integer_kernels() {
  std::vector<const IntegerKernels*> kernels = available_integer_kernels();
#if defined(SQUISH_TEST_EVEX_VNNI)
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl"))
    kernels.push_back(&kEvexVnniIntegers);
#endif
  return kernels;
}

inline std::string integer_isa_of(const ::testing::TestParamInfo<const IntegerKernels*>& info) {
  return info.param->isa;
}

#define SQUISH_TEST_EACH_INTEGER_ISA(Test)                                                             \
  INSTANTIATE_TEST_SUITE_P(Isas, Test, ::testing::ValuesIn(squish::testing::tested_integer_kernels()), \
                           squish::testing::integer_isa_of)

}  // namespace testing
}  // namespace squish
