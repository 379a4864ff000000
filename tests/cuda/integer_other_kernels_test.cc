// What a net in integer arithmetic does beside convolutions, against plain loops: all is exact, to the bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "model/graph.h"
#include "support/emulated_kernels.h"
#include "support/integer_cases.h"
#include "support/net_builder.h"

namespace squish::cuda {
namespace {

using testing::Edge;
using testing::Guarded;
using testing::held_as;
using testing::HeldImages;
using testing::hold;
using testing::in_every_order;
using testing::kAllResults;
using testing::kEdges;
using testing::kInFloats;
using testing::Random;
using testing::Results;
using testing::square;

constexpr int kImages = testing::kIntegerImages;

TEST(CudaIntegerMaxPool, IsPlainLoops) {
  const Window windows[] = {
      square(3, 2), square(2, 2, 1), square(5, 4, 2), square(1), {2, 3, 1, 2, 1, 0, 0, 2}};
  uint32_t seed = 500;
  for (const Window& w : windows) {
    for (const auto& [height, width] : {std::pair<int, int>{5, 7}, {12, 11}, {24, 30}}) {
      for (const Held& held : {held_as(0.1f, 9), kInFloats}) {
        Random random(++seed);
        HeldImages in(kImages, {9, 6}, height, width, held, kEdges[seed % 2]);
        in.fill(random);
        const int out_height = pool_extent(height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, true);
        const int out_width = pool_extent(width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, true);
        in_every_order([&] {
          HeldImages out(kImages, {9, 6}, out_height, out_width, held, kEdges[seed % 2]);
          emulated_integer_kernels().max_pool(
              {in.planes<const void>(), out.planes<void>(), kImages, w.kernel_h, w.kernel_w, w.stride_h,
               w.stride_w, w.pad_top, w.pad_left},
              nullptr);
          ASSERT_TRUE(out.holds([&](int n, int c, int y, int x) {
            const int top = y * w.stride_h - w.pad_top, left = x * w.stride_w - w.pad_left;
            float best = -std::numeric_limits<float>::infinity();
            for (int row = std::max(top, 0); row < std::min(top + w.kernel_h, in.height()); ++row) {
              for (int column = std::max(left, 0); column < std::min(left + w.kernel_w, in.width());
                   ++column) {
                const float value = in.in_bytes() ? static_cast<float>(in.byte(n, c, row, column))
                                                  : in.value(n, c, row, column);
                if (best < value) best = value;
              }
            }
            return best;
          }));
        });
      }
    }
  }
}

// A block of threads adds 128 pixels at a time.
TEST(CudaIntegerAverage, AddsInOrder) {
  uint32_t seed = 600;
  for (const auto& [height, width] : {std::pair<int, int>{1, 1}, {3, 5}, {8, 16}, {13, 29}}) {
    for (const Held& from : {held_as(0.1f, 9), kInFloats}) {
      for (Results results : kAllResults) {
        Random random(++seed);
        const Edge edge = kEdges[seed % 2];
        HeldImages in(kImages, {9, 6}, height, width, from, edge);
        in.fill(random);
        const Held to = results == Results::kBytes ? held_as(0.05f, 100) : kInFloats;
        const float share = 1.0f / static_cast<float>(height * width);
        const auto wanted = [&](int n, int c, int, int) {
          float sum = 0;
          for (int y = 0; y < in.height(); ++y)
            for (int x = 0; x < in.width(); ++x) sum += in.value(n, c, y, x);
          const volatile float mean = sum * share;
          return hold(mean, to);
        };
        in_every_order([&] {
          HeldImages out(kImages, {9, 6}, 1, 1, to, edge);
          Guarded<float> callers(static_cast<size_t>(kImages * in.channels()), edge, -1);
          emulated_integer_kernels().average({in.planes<const void>(), out.planes<void>(), kImages, share,
                                              results == Results::kCallers ? callers.data() : nullptr},
                                             nullptr);
          if (results != Results::kCallers) {
            ASSERT_TRUE(out.holds(wanted));
            return;
          }
          for (int n = 0; n < kImages; ++n) {
            for (int c = 0; c < in.channels(); ++c)
              ASSERT_EQ(callers[static_cast<size_t>(n * in.channels() + c)], wanted(n, c, 0, 0)) << c;
          }
        });
      }
    }
  }
}

TEST(CudaIntegerAdd, AddsWhatIsHeldInAnyWay) {
  uint32_t seed = 700;
  const Held helds[] = {
      held_as(0.013f, 9),
      held_as(0.02f, 0),
  };
  const std::vector<int> segments[] = {{15}, {9, 6}, {6, 9}, {8, 7}};
  for (const Held& held_a : helds) {
    for (const Held& held_b : helds) {
      for (const Held& to : helds) {
        for (float floor : {0.0f, -std::numeric_limits<float>::infinity()}) {
          Random random(++seed);
          const Edge edge = kEdges[seed % 2];
          const auto &lie_a = segments[seed % 4], &lie_b = segments[seed / 4 % 4];
          HeldImages a(kImages, lie_a, 7, 11, held_a, edge), b(kImages, lie_b, 7, 11, held_b, edge);
          a.fill(random);
          b.fill(random);
          in_every_order([&] {
            HeldImages out(kImages, lie_a, 7, 11, to, edge);
            emulated_integer_kernels().add(
                {a.planes<const void>(), b.planes<const void>(), out.planes<void>(), kImages, floor},
                nullptr);
            ASSERT_TRUE(out.holds([&](int n, int c, int y, int x) {
              return hold(std::max(a.value(n, c, y, x) + b.value(n, c, y, x), floor), to);
            }));
          });
        }
      }
    }
  }
}

TEST(CudaIntegerInput, IsNormalisedAndHeld) {
  uint32_t seed = 800;
  for (int channels = 1; channels <= kMaxImageChannels; ++channels) {
    for (const Held& to : {held_as(0.02f, 128), kInFloats}) {
      for (bool of_pixels : {true, false}) {
        Random random(++seed);
        const Edge edge = kEdges[seed % 2];
        constexpr int kHeight = 9, kWidth = 17, kPixels = kHeight * kWidth;
        const auto count = static_cast<size_t>(kImages * channels * kPixels);
        Guarded<uint8_t> pixels(count, Edge::kFront, 0);
        Guarded<float> floats(count, edge, 0);
        Guarded<int> not_finite(1, edge, 0);
        for (size_t i = 0; i < count; ++i) {
          pixels[i] = static_cast<uint8_t>(random.between(0, 255));
          floats[i] = random.value(4);
        }
        IntegerInputTask task{};
        task.pixels = of_pixels ? pixels.data() : nullptr;
        task.floats = of_pixels ? nullptr : floats.data();
        task.images = kImages;
        task.not_finite = not_finite.data();
        for (int c = 0; c < channels; ++c) {
          task.scale[c] = 0.017f + 0.001f * static_cast<float>(c);
          task.shift[c] = -2.1f + 0.3f * static_cast<float>(c);
        }
        in_every_order([&] {
          HeldImages out(kImages, {channels}, kHeight, kWidth, to, edge);
          task.out = out.planes<void>();
          emulated_integer_kernels().read_input(task, nullptr);
          ASSERT_TRUE(out.holds([&](int n, int c, int y, int x) {
            const int pixel = y * kWidth + x;
            if (!of_pixels)
              return hold(floats[static_cast<size_t>((n * channels + c) * kPixels + pixel)], to);
            const volatile float product =
                static_cast<float>(pixels[static_cast<size_t>((n * kPixels + pixel) * channels + c)]) *
                task.scale[c];
            return hold(product + task.shift[c], to);
          }));
          ASSERT_EQ(not_finite[0], 0);
        });
      }
    }
  }
}

TEST(CudaIntegerInput, TellsOfValuesThatAreNotFinite) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity}) {
    for (int at : {0, 7, 2 * 3 * 200 - 1}) {
      HeldImages out(kImages, {3}, 10, 20, held_as(0.02f, 128), Edge::kBack);
      Guarded<float> floats(2 * 3 * 200, Edge::kBack, 1);
      Guarded<int> not_finite(1, Edge::kBack, 0);
      floats[static_cast<size_t>(at)] = bad;
      IntegerInputTask task{};
      task.floats = floats.data();
      task.out = out.planes<void>();
      task.images = kImages;
      task.not_finite = not_finite.data();
      emulated_integer_kernels().read_input(task, nullptr);
      EXPECT_EQ(not_finite[0], 1) << bad << " at " << at;
    }
  }
}

}  // namespace
}  // namespace squish::cuda
