// Pools, additions and the net's input on the emulator against plain double loops.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/graph.h"
#include "support/emulated_kernels.h"
#include "support/net_builder.h"
#include "support/planes.h"
#include "support/thread_orders.h"

namespace squish::cuda {
namespace {

using emulator::ScopedOptions;
using testing::Edge;
using testing::Expected;
using testing::ExpectedImage;
using testing::Guarded;
using testing::GuardedPlanes;
using testing::kCanary;
using testing::kEdges;
using testing::kThreadOrders;
using testing::Random;
using testing::square;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();
constexpr int kImages = 2, kChannels = 3;

template <typename Body>
void in_every_order(const Body& body) {
  for (emulator::Order order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    body();
  }
}

struct Pool {
  Window window;
  bool ceil_mode;
};

int out_height(const Pool& p, int h) {
  return pool_extent(h, p.window.kernel_h, p.window.stride_h, p.window.pad_top, p.window.pad_bottom,
                     p.ceil_mode);
}
int out_width(const Pool& p, int w) {
  return pool_extent(w, p.window.kernel_w, p.window.stride_w, p.window.pad_left, p.window.pad_right,
                     p.ceil_mode);
}

PoolTask<float> pool_task(const Pool& p, GuardedPlanes<float>& in, GuardedPlanes<float>& out) {
  const Window& w = p.window;
  return {in.const_planes(), out.planes(), kImages,   w.kernel_h, w.kernel_w,
          w.stride_h,        w.stride_w,   w.pad_top, w.pad_left};
}

ExpectedImage max_pool(const ExpectedImage& in, const Pool& p) {
  const Window& w = p.window;
  ExpectedImage out(in.channels, out_height(p, in.height), out_width(p, in.width));
  for (int c = 0; c < out.channels; ++c) {
    for (int y = 0; y < out.height; ++y) {
      for (int x = 0; x < out.width; ++x) {
        double best = -std::numeric_limits<double>::infinity();
        for (int ky = 0; ky < w.kernel_h; ++ky) {
          for (int kx = 0; kx < w.kernel_w; ++kx) {
            const int iy = y * w.stride_h - w.pad_top + ky, ix = x * w.stride_w - w.pad_left + kx;
            if (iy < 0 || ix < 0 || iy >= in.height || ix >= in.width) continue;
            best = std::max(best, in.get(c, iy, ix).wanted);
          }
        }
        out.at(c, y, x) = {best, 0};
      }
    }
  }
  return out;
}

TEST(CudaMaxPool, AgreesWithPlainLoops) {
  const Pool pools[] = {{square(3, 2), true},     {square(2, 2, 1), false}, {square(5, 4, 2), true},
                        {square(3, 1, 1), false}, {square(1), true},        {{2, 3, 1, 2, 1, 0, 0, 2}, true}};
  uint32_t seed = 0;
  for (const Pool& pool : pools) {
    for (const auto& [height, width] : {std::pair<int, int>{1, 1}, {5, 7}, {12, 11}, {24, 30}}) {
      if (out_height(pool, height) < 1 || out_width(pool, width) < 1) continue;
      Random random(++seed);
      const Edge edge = kEdges[seed % 2];
      GuardedPlanes<float> in(kImages, kChannels, height, width, edge);
      in.fill(random);
      in_every_order([&, h = height, w = width] {
        GuardedPlanes<float> out(kImages, kChannels, out_height(pool, h), out_width(pool, w), edge);
        emulated_kernels().max_pool(pool_task(pool, in, out), nullptr);
        for (int n = 0; n < kImages; ++n)
          ASSERT_TRUE(out.holds(n, max_pool(in.image(n), pool))) << h << "x" << w;
      });
    }
  }
}

TEST(CudaMaxPool, GivesNaNForWindowsThatHoldOne) {
  const Pool pool{square(3, 2), false};
  for (int bad = 0; bad < 7 * 7; ++bad) {
    GuardedPlanes<float> in(kImages, 1, 7, 7, Edge::kBack), out(kImages, 1, 3, 3, Edge::kBack);
    for (int i = 0; i < 7 * 7; ++i) in.value(0, i) = in.value(1, i) = 1;
    in.value(1, bad) = kNaN;
    emulated_kernels().max_pool(pool_task(pool, in, out), nullptr);
    for (int i = 0; i < 9; ++i) {
      const int dy = bad / 7 - i / 3 * 2, dx = bad % 7 - i % 3 * 2;
      EXPECT_EQ(std::isnan(out.value(1, i)), dy >= 0 && dy < 3 && dx >= 0 && dx < 3)
          << bad << ", window " << i;
      EXPECT_EQ(out.value(0, i), 1);
    }
  }
}

TEST(CudaAverage, AgreesWithPlainLoops) {
  uint32_t seed = 0;
  for (const auto& [height, width] : {std::pair<int, int>{1, 1}, {1, 127}, {16, 8}, {13, 13}, {31, 29}}) {
    Random random(++seed);
    GuardedPlanes<float> in(kImages, kChannels, height, width, kEdges[seed % 2]);
    in.fill(random);
    in_every_order([&, h = height, w = width] {
      GuardedPlanes<float> out(kImages, kChannels, 1, 1, kEdges[seed % 2]);
      emulated_kernels().average({in.const_planes(), out.planes(), kImages}, nullptr);
      for (int n = 0; n < kImages; ++n) {
        const ExpectedImage image = in.image(n);
        ExpectedImage expected(kChannels, 1, 1);
        for (int c = 0; c < kChannels; ++c) {
          testing::BoundedSum sum;
          for (int i = 0; i < h * w; ++i) sum.add(image.values[static_cast<size_t>(c * h * w + i)].wanted);
          const Expected total = sum.expected();
          expected.at(c, 0, 0) = {total.wanted / (h * w),
                                  (total.bound + 0x1p-23 * std::abs(total.wanted)) / (h * w)};
        }
        ASSERT_TRUE(out.holds(n, expected)) << h << "x" << w;
      }
    });
  }
}

TEST(CudaAdd, AgreesWithPlainLoopsAndLetsNaNThrough) {
  for (int values : {1, 127, 128, 129, 1000}) {
    for (float floor : {0.0f, -kInfinity}) {
      const auto n = static_cast<size_t>(values);
      Random random(static_cast<uint32_t>(values));
      Guarded<float> a(n, Edge::kBack, 0), b(n, Edge::kFront, 0);
      for (size_t i = 0; i < n; ++i) {
        a[i] = random.value();
        b[i] = random.value();
      }
      a[n / 2] = kNaN;
      in_every_order([&] {
        Guarded<float> out(n, Edge::kBack, kCanary);
        emulated_kernels().add({a.data(), b.data(), out.data(), values, floor}, nullptr);
        for (size_t i = 0; i < n; ++i) {
          if (i == n / 2) {
            EXPECT_TRUE(std::isnan(out[i]));
          } else {
            EXPECT_EQ(out[i], std::max(floor, a[i] + b[i])) << i;
          }
        }
      });
    }
  }
}

TEST(CudaReadPixels, Normalises) {
  for (int channels = 1; channels <= kMaxImageChannels; ++channels) {
    for (const auto& [height, width] : {std::pair<int, int>{1, 1}, {8, 16}, {9, 15}}) {
      const int pixels = height * width;
      Guarded<uint8_t> bytes(static_cast<size_t>(kImages * pixels * channels), Edge::kBack, uint8_t{0});
      Random random(static_cast<uint32_t>(pixels));
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(random.between(0, 255));
      in_every_order([&, h = height, w = width, c_count = channels] {
        GuardedPlanes<float> out(kImages, c_count, h, w, Edge::kBack);
        PixelsTask<float> task{bytes.data(), out.planes(), kImages, {0.1f, 0.2f, 0.3f, 0.4f}, {1, 2, -3, 4}};
        emulated_kernels().read_pixels(task, nullptr);
        for (int n = 0; n < kImages; ++n) {
          ExpectedImage expected(c_count, h, w);
          for (int c = 0; c < c_count; ++c) {
            for (int i = 0; i < pixels; ++i) {
              testing::BoundedSum sum;
              sum.add(double{task.scale[c]} * bytes[static_cast<size_t>((n * pixels + i) * c_count + c)]);
              sum.add(task.shift[c]);
              expected.values[static_cast<size_t>(c * pixels + i)] = sum.expected();
            }
          }
          ASSERT_TRUE(out.holds(n, expected)) << c_count << " channels, " << h << "x" << w;
        }
      });
    }
  }
}

TEST(CudaReadFloats, CopiesAndFindsWhatIsNotFinite) {
  for (size_t n : {size_t{1}, size_t{128}, size_t{300}}) {
    Guarded<float> values(n, Edge::kBack, 0), out(n, Edge::kFront, kCanary);
    Random random(1);
    for (size_t i = 0; i < n; ++i) values[i] = random.value(1e30);
    const auto finite = [&](float* to) {
      Guarded<int> flag(1, Edge::kBack, 0);
      emulated_kernels().read_floats({values.data(), to, static_cast<int64_t>(n), flag.data()}, nullptr);
      return flag[0] == 0;
    };
    EXPECT_TRUE(finite(out.data()));
    for (size_t i = 0; i < n; ++i) EXPECT_EQ(out[i], values[i]);
    EXPECT_TRUE(finite(values.data())) << "in place";
    for (float bad : {kNaN, kInfinity, -kInfinity}) {
      for (size_t at : {size_t{0}, n / 2, n - 1}) {
        const float good = std::exchange(values[at], bad);
        EXPECT_FALSE(finite(values.data())) << bad << " at " << at;
        values[at] = good;
      }
    }
  }
}

}  // namespace
}  // namespace squish::cuda
