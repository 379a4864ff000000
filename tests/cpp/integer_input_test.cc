// The net's input to quads of bytes on each instruction set against plain loops: all is exact, to the bit.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "cpu/dispatch.h"
#include "support/guarded.h"
#include "support/integer_isas.h"
#include "support/random.h"

namespace squish {
namespace {

using testing::byte_of;
using testing::Edge;
using testing::Guarded;
using testing::IntegerTest;
using testing::kCanary;
using testing::kEdges;
using testing::quantised;
using testing::Random;
using testing::scaled;

constexpr int kInputs = 4;

class QuadKernels : public IntegerTest {
 protected:
  void check(int channels, int width, bool from_pixels, Edge edge) {
    Random random(static_cast<uint32_t>(channels * 100 + width));
    const auto values_count = static_cast<size_t>(channels * width);
    Guarded<uint8_t> pixels(values_count, edge, 0);
    Guarded<float> values(values_count, edge, 0);
    for (size_t i = 0; i < values_count; ++i) {
      pixels[i] = static_cast<uint8_t>(random.between(0, 255));
      values[i] = random.chance(0.1) ? random.value(1e30) : random.value(3);
    }
    std::vector<float> scale, shift;
    for (int c = 0; c < channels; ++c) {
      scale.push_back(random.value(0.02));
      shift.push_back(random.value(2));
    }
    Guarded<uint8_t> output(static_cast<size_t>(width) * kInputs, edge, kCanary);
    QuadTask task{};
    if (from_pixels) {
      task.pixels = pixels.data();
    } else {
      task.values = values.data();
    }
    task.plane = width;
    task.width = width;
    task.channels = channels;
    task.scale = scale.data();
    task.shift = shift.data();
    task.inverse = random.value(100);
    task.zero = static_cast<float>(random.between(0, 255));
    task.output = output.data();
    ASSERT_TRUE(kernels().quads(task));
    for (int i = 0; i < width * kInputs; ++i) {
      const int x = i / kInputs, c = i % kInputs;
      int wanted = 0;
      if (c < channels) {
        const auto channel = static_cast<size_t>(c);
        const float value = from_pixels ? scaled(pixels[static_cast<size_t>(x * channels + c)],
                                                 scale[channel], shift[channel])
                                        : values[static_cast<size_t>(c * width + x)];
        const volatile float product = value * task.inverse;
        wanted = quantised(product + task.zero, 0);
      }
      ASSERT_EQ(output[static_cast<size_t>(i)], byte_of(kernels(), wanted))
          << channels << " channels, " << width << " pixels, pixel " << x << ", channel " << c;
    }
    if (!from_pixels) finds_what_is_not_finite(task, values);
  }

 private:
  void finds_what_is_not_finite(const QuadTask& task, Guarded<float>& values) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kNotFinite[] = {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()};
    for (size_t i = 0; i < values.size(); ++i) {
      const float finite = std::exchange(values[i], kNotFinite[i % 3]);
      ASSERT_FALSE(kernels().quads(task)) << task.channels << " channels of " << task.width << ", at " << i;
      values[i] = finite;
    }
  }
};

TEST_P(QuadKernels, AgreeWithPlainLoops) {
  for (int channels = 1; channels <= 4; ++channels) {
    for (int width = 1; width <= 70; ++width) {
      for (Edge edge : kEdges) {
        check(channels, width, true, edge);
        check(channels, width, false, edge);
      }
    }
  }
}

class RgbQuadKernels : public IntegerTest {};

TEST_P(RgbQuadKernels, LookUpEveryPixel) {
  const RgbQuadKernel rgb_quads = choose_rgb_quads(kernels());
  if (rgb_quads == nullptr) GTEST_SKIP() << "none beside " << kernels().isa;
  constexpr int kColours = 3, kValues = 256, kTwo = 2;
  for (int width = 1; width <= 300; ++width) {
    for (Edge edge : kEdges) {
      Random random(static_cast<uint32_t>(width));
      const auto count = static_cast<size_t>(width);
      Guarded<uint8_t> pixels(kTwo * count * kColours, edge, 0);
      Guarded<uint8_t> bytes(size_t{kColours * kValues}, edge, 0);
      for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(random.between(0, 255));
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(random.between(0, 255));
      const size_t row = (count + 5) * kInputs;  // between rows lies what is not the kernel's
      Guarded<uint8_t> output(row + count * kInputs, edge, kCanary);
      rgb_quads({pixels.data(), bytes.data(), kTwo, width, output.data(), static_cast<ptrdiff_t>(row)});
      for (size_t i = 0; i < output.size(); ++i) {
        const size_t y = i / row, x = i % row / kInputs, c = i % kInputs;
        int wanted = 0;
        if (x >= count) {
          wanted = kCanary;
        } else if (c < kColours) {
          wanted = bytes[kValues * c + pixels[kColours * (y * count + x) + c]];
        }
        ASSERT_EQ(output[i], wanted) << width << " pixels, row " << y << ", pixel " << x << ", colour " << c;
      }
    }
  }
}

SQUISH_TEST_EACH_INTEGER_ISA(QuadKernels);
SQUISH_TEST_EACH_INTEGER_ISA(RgbQuadKernels);

}  // namespace
}  // namespace squish
