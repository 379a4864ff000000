#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "format/half.h"

namespace squish {
namespace {

constexpr uint16_t kInfinity = 0x7C00;
constexpr float kInf = std::numeric_limits<float>::infinity();

// What the bits mean by the definition, exact in double. Infinity counts as 2^16, which is where the number
// behind the largest one would stand: so rounding to it follows the rule of the others.
double definition(uint16_t half) {
  const int exponent = (half >> 10) & 0x1F, mantissa = half & 0x3FF;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// The nearest half by comparing with its neighbours; of two equally near the one with the even mantissa.
uint16_t nearest(float value) {
  const double wanted = std::fabs(double{value});
  uint16_t low = 0, high = kInfinity;
  if (wanted >= definition(high)) low = high;
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (definition(middle) <= wanted ? low : high) = middle;
  }
  const double below = wanted - definition(low), above = definition(high) - wanted;
  const uint16_t half = below < above || (below == above && low % 2 == 0) || low == kInfinity ? low : high;
  return static_cast<uint16_t>(half | (std::signbit(value) ? 0x8000 : 0));
}

uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TEST(Half, EveryFiniteOneWidensExactlyAndComesBack) {
  for (uint32_t k = 0; k <= 0xFFFF; ++k) {
    const auto half = static_cast<uint16_t>(k);
    if ((half & 0x7C00) == 0x7C00) continue;
    ASSERT_EQ(double{float_from_half(half)}, definition(half)) << std::hex << half;
    ASSERT_EQ(half_from_float(float_from_half(half)), half) << std::hex << half;
  }
}

TEST(Half, InfinityAndNanStayWhatTheyAre) {
  EXPECT_EQ(float_from_half(0x7C00), kInf);
  EXPECT_EQ(float_from_half(0xFC00), -kInf);
  EXPECT_TRUE(std::isnan(float_from_half(0x7C01)));
  EXPECT_EQ(half_from_float(kInf), 0x7C00);
  EXPECT_EQ(half_from_float(-kInf), 0xFC00);
  EXPECT_TRUE(std::isnan(float_from_half(half_from_float(std::nanf("")))));
  EXPECT_TRUE(
      std::isnan(float_from_half(half_from_float(float_of(0x7F800001)))));  // payload in low bits only
}

TEST(Half, RoundsTheHardCases) {
  const struct {
    float value;
    uint16_t half;
  } cases[] = {
      {0.0f, 0x0000},
      {-0.0f, 0x8000},
      {1.0f, 0x3C00},
      {65504.0f, 0x7BFF},
      {65519.996f, 0x7BFF},
      {65520.0f, 0x7C00},  // overflow begins at a tie
      {0x1p-14f, 0x0400},
      {0x1.ff8p-15f, 0x03FF},
      {0x1.ffcp-15f, 0x0400},  // largest subnormal, tie up
      {0x1p-24f, 0x0001},
      {0x1p-25f, 0x0000},
      {0x1.000002p-25f, 0x0001},  // smallest, tie to zero
      {0x1.8p-24f, 0x0002},
      {-0x1.8p-24f, 0x8002},
      {0x1p-149f, 0x0000},  // tie to even; f32 subnormal
      {1 + 0x1p-11f, 0x3C00},
      {1 + 0x3p-11f, 0x3C02},
      {1 + 0x1.004p-11f, 0x3C01},  // ties both ways, just above
      {0x1.ffep0f, 0x4000},        // carry into the exponent
  };
  for (const auto& c : cases) EXPECT_EQ(half_from_float(c.value), c.half) << std::hexfloat << c.value;
}

// Every half, every midpoint of two, and the floats right below and above each.
TEST(Half, RoundsToNearestEvenAroundEveryBoundary) {
  for (uint16_t half = 0; half < kInfinity; ++half) {
    const double here = definition(half), next = definition(static_cast<uint16_t>(half + 1));
    for (double centre : {here, (here + next) / 2}) {
      const uint32_t bits = bits_of(static_cast<float>(centre));
      for (uint32_t near : {bits - 1, bits, bits + 1}) {
        const float value = float_of(bits == 0 && near == bits - 1 ? 0x80000001u : near);
        ASSERT_EQ(half_from_float(value), nearest(value)) << std::hexfloat << value;
        ASSERT_EQ(half_from_float(-value), nearest(-value)) << std::hexfloat << value;
      }
    }
  }
}

}  // namespace
}  // namespace squish
