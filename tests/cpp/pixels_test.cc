// The net's input: uint8 pixels to normalised planes, and the search for values that are not finite.
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "support/expected.h"
#include "support/guarded.h"
#include "support/isas.h"
#include "support/random.h"

namespace squish {
namespace {

using testing::BoundedSum;
using testing::Expected;
using testing::Guarded;

class PixelKernels : public testing::IsaTest {
 protected:
  void check(int channels, int width, testing::Edge edge) {
    testing::Random random(static_cast<uint32_t>(channels * 100 + width));
    const int plane = width + 7;
    Guarded<uint8_t> input(static_cast<size_t>(channels * width), edge, 0);
    for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<uint8_t>(random.between(0, 255));
    Guarded<float> scale(static_cast<size_t>(channels), edge, 0.0f), shift(scale.size(), edge, 0.0f);
    for (size_t c = 0; c < scale.size(); ++c) {
      scale[c] = random.value(0.02);
      shift[c] = random.value(3);
    }
    Guarded<float> output(static_cast<size_t>(channels * plane - 7), edge, testing::kCanary);
    std::vector<Expected> expected(output.size(), testing::kUntouched);
    for (int i = 0; i < channels * width; ++i) {
      const auto channel = static_cast<size_t>(i % channels);
      BoundedSum sum;
      sum.add(double{scale[channel]} * input[static_cast<size_t>(i)]);
      sum.add(shift[channel]);
      expected[channel * static_cast<size_t>(plane) + static_cast<size_t>(i / channels)] = sum.expected();
    }
    kernels().pixels({input.data(), width, channels, scale.data(), shift.data(), output.data(), plane});
    ASSERT_TRUE(testing::all_within(output.data(), expected)) << width << "x" << channels;
  }
};
SQUISH_TEST_EACH_ISA(PixelKernels);

TEST_P(PixelKernels, AgreeWithPlainLoops) {
  for (int channels = 1; channels <= 4; ++channels) {
    for (int width = 1; width <= 70; ++width) {
      for (testing::Edge edge : testing::kEdges) check(channels, width, edge);
    }
  }
}

class FiniteKernels : public testing::IsaTest {};
SQUISH_TEST_EACH_ISA(FiniteKernels);

TEST_P(FiniteKernels, AcceptEveryFiniteValue) {
  using Limits = std::numeric_limits<float>;
  const float values[] = {0, -0.0f, 1, Limits::max(), Limits::lowest(), Limits::min(), Limits::denorm_min()};
  for (testing::Edge edge : testing::kEdges) {
    for (size_t count = 0; count <= 70; ++count) {
      Guarded<float> input(count, edge, 0.0f);
      for (size_t i = 0; i < count; ++i) input[i] = values[i % std::size(values)];
      EXPECT_TRUE(kernels().all_finite(input.data(), static_cast<ptrdiff_t>(count))) << count;
    }
  }
}

TEST_P(FiniteKernels, FindOneBadValueAtEveryPlace) {
  using Limits = std::numeric_limits<float>;
  for (float bad : {Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(), -Limits::quiet_NaN()}) {
    for (size_t count = 1; count <= 70; ++count) {
      std::vector<float> input(count, 1.0f);
      for (float& value : input) {
        value = bad;
        ASSERT_FALSE(kernels().all_finite(input.data(), static_cast<ptrdiff_t>(count))) << count;
        value = 1;
      }
    }
  }
}

}  // namespace
}  // namespace squish
