// Pools, additions and the net's input on the emulator against plain double loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "model/graph.h"
#include "support/emulated_kernels.h"
#include "support/net_builder.h"
#include "support/planes.h"
#include "support/thread_orders.h"

namespace squish::cuda {
namespace {

using emulator::ScopedOptions;
using testing::ChannelOrder;
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

// As everything lies without tensor cores, and as a Fire's output lies with them.
const ChannelOrder kPlanar{1, {kChannels}}, kSegments{kClusterChannels, {5, 20}};

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
      const ChannelOrder& order = seed / 2 % 2 == 0 ? kPlanar : kSegments;
      GuardedPlanes<float> in(kImages, order, height, width, edge);
      in.fill(random);
      in_every_order([&, h = height, w = width] {
        GuardedPlanes<float> out(kImages, order, out_height(pool, h), out_width(pool, w), edge);
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

ExpectedImage average(const ExpectedImage& in) {
  ExpectedImage out(in.channels, 1, 1);
  const int pixels = in.height * in.width;
  for (int c = 0; c < in.channels; ++c) {
    testing::BoundedSum sum;
    for (int i = 0; i < pixels; ++i) sum.add(in.values[static_cast<size_t>(c * pixels + i)].wanted);
    const Expected total = sum.expected();
    out.at(c, 0, 0) = {total.wanted / pixels, (total.bound + 0x1p-23 * std::abs(total.wanted)) / pixels};
  }
  return out;
}

TEST(CudaAverage, AgreesWithPlainLoops) {
  uint32_t seed = 0;
  for (const auto& [height, width] : {std::pair<int, int>{1, 1}, {1, 127}, {16, 8}, {13, 13}, {31, 29}}) {
    for (const ChannelOrder& order : {kPlanar, kSegments}) {
      Random random(++seed);
      GuardedPlanes<float> in(kImages, order, height, width, kEdges[seed % 2]);
      in.fill(random);
      in_every_order([&, h = height, w = width] {
        GuardedPlanes<float> out(kImages, order, 1, 1, kEdges[seed % 2]);
        emulated_kernels().average({in.const_planes(), out.planes(), kImages, nullptr, 0}, nullptr);
        for (int n = 0; n < kImages; ++n) ASSERT_TRUE(out.holds(n, average(in.image(n)))) << h << "x" << w;
      });
    }
  }
}

template <typename T>
void check_results_of_average() {
  constexpr int kClasses = 19;
  Random random(1);
  GuardedPlanes<T> in(kImages, ChannelOrder{kClusterChannels, {kClasses}}, 13, 11, Edge::kBack);
  in.fill(random);
  in_every_order([&] {
    Guarded<float> results(size_t{kImages * kClasses}, Edge::kBack, kCanary);
    kernels_for<T>().average({in.const_planes(), {}, kImages, results.data(), kClasses}, nullptr);
    for (int n = 0; n < kImages; ++n) {
      const ExpectedImage expected = average(in.image(n));
      EXPECT_TRUE(testing::all_within(results.data() + n * kClasses, expected.values)) << n;
    }
  });
}

TEST(CudaAverage, WritesTheCallersFloats) {
  check_results_of_average<float>();
  check_results_of_average<__half>();
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
        const Planes<const float> in_a{a.data(), values, 1, 1, values, 1},
            in_b{b.data(), values, 1, 1, values, 1};
        emulated_kernels().add({in_a, in_b, {out.data(), values, 1, 1, values, 1}, 1, {1, 1}, {1, 1}, floor},
                               nullptr);
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

template <typename T>
void check_add(const ChannelOrder& a_order, const ChannelOrder& b_order, float floor, uint32_t seed) {
  Random random(seed);
  const Edge edge = kEdges[seed % 2];
  GuardedPlanes<T> a(kImages, a_order, 5, 7, edge), b(kImages, b_order, 5, 7, edge);
  a.fill(random);
  b.fill(random);
  in_every_order([&] {
    GuardedPlanes<T> out(kImages, a_order, 5, 7, edge);
    kernels_for<T>().add({a.const_planes(), b.const_planes(), out.planes(), kImages, a_order.for_kernels(),
                          b_order.for_kernels(), floor},
                         nullptr);
    for (int n = 0; n < kImages; ++n) {
      ExpectedImage expected = a.image(n);
      const ExpectedImage other = b.image(n);
      for (size_t i = 0; i < expected.values.size(); ++i) {
        testing::BoundedSum sum;
        sum.add(expected.values[i].wanted);
        sum.add(other.values[i].wanted);
        expected.values[i] = testing::at_least(floor, sum.expected());
      }
      ASSERT_TRUE(out.holds(n, expected)) << n;
    }
  });
}

TEST(CudaAdd, FindsChannelsInOtherSegments) {
  const std::vector<int> segments[] = {{5, 20}, {20, 5}, {16, 9}, {25}, {1, 24}};
  uint32_t seed = 0;
  for (const auto& a : segments) {
    for (const auto& b : segments) {
      ++seed;
      const float floor = seed % 2 == 0 ? 0 : -kInfinity;
      check_add<float>({kClusterChannels, a}, {kClusterChannels, b}, floor, seed);
      check_add<__half>({kClusterChannels, a}, {kClusterChannels, b}, floor, seed);
    }
  }
}

struct Normalised {
  float scale[kMaxImageChannels] = {0.1f, 0.2f, 0.3f, 0.4f}, shift[kMaxImageChannels] = {1, 2, -3, 4};

  // Of [images][pixels][channels].
  ExpectedImage image(const Guarded<uint8_t>& bytes, int n, int channels, int height, int width) const {
    ExpectedImage expected(channels, height, width);
    const int pixels = height * width;
    for (int c = 0; c < channels; ++c) {
      for (int i = 0; i < pixels; ++i) {
        testing::BoundedSum sum;
        sum.add(double{scale[c]} * bytes[static_cast<size_t>((n * pixels + i) * channels + c)]);
        sum.add(shift[c]);
        expected.values[static_cast<size_t>(c * pixels + i)] = sum.expected();
      }
    }
    return expected;
  }
};

// run(planes of the output, bytes, normalisation)
template <typename T, typename Run>
void check_normalises(int step, const Run& run) {
  const Normalised normalised;
  for (int channels = 1; channels <= kMaxImageChannels; ++channels) {
    for (const auto& [height, width] : {std::pair<int, int>{1, 1}, {8, 16}, {9, 15}}) {
      const int pixels = height * width;
      Guarded<uint8_t> bytes(static_cast<size_t>(kImages * pixels * channels), Edge::kBack, uint8_t{0});
      Random random(static_cast<uint32_t>(pixels));
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(random.between(0, 255));
      in_every_order([&, h = height, w = width, count = channels] {
        GuardedPlanes<T> out(kImages, ChannelOrder{step, {count}}, h, w, Edge::kBack);
        run(out.planes(), bytes.data(), count, normalised);
        for (int n = 0; n < kImages; ++n) {
          ASSERT_TRUE(out.holds(n, normalised.image(bytes, n, count, h, w)))
              << count << " channels, " << h << "x" << w;
        }
      });
    }
  }
}

TEST(CudaReadPixels, Normalises) {
  check_normalises<float>(1, [](const Planes<float>& out, const uint8_t* bytes, int, const Normalised& by) {
    PixelsTask<float> task{bytes, out, kImages, {}, {}};
    std::copy(std::begin(by.scale), std::end(by.scale), task.scale);
    std::copy(std::begin(by.shift), std::end(by.shift), task.shift);
    emulated_kernels().read_pixels(task, nullptr);
  });
}

template <typename T>
QuadsTask<T> quads_task(const Planes<T>& out, int channels) {
  QuadsTask<T> task{};
  task.out = out;
  task.images = kImages;
  task.channels = channels;
  return task;
}

template <typename T>
void check_quads_of_pixels() {
  check_normalises<T>(kQuad,
                      [](const Planes<T>& out, const uint8_t* bytes, int channels, const Normalised& by) {
                        QuadsTask<T> task = quads_task(out, channels);
                        task.pixels = bytes;
                        std::copy(std::begin(by.scale), std::end(by.scale), task.scale);
                        std::copy(std::begin(by.shift), std::end(by.shift), task.shift);
                        kernels_for<T>().read_quads(task, nullptr);
                      });
}

TEST(CudaReadQuads, NormalisesPixels) {
  check_quads_of_pixels<float>();
  check_quads_of_pixels<__half>();
}

template <typename T>
void check_quads_of_floats() {
  constexpr int kHeight = 9, kWidth = 15, kPixels = kHeight * kWidth;
  for (int channels = 1; channels <= 5; ++channels) {
    Guarded<float> floats(static_cast<size_t>(kImages * channels * kPixels), Edge::kBack, 0);
    Random random(static_cast<uint32_t>(channels));
    for (size_t i = 0; i < floats.size(); ++i) floats[i] = random.value();
    GuardedPlanes<T> out(kImages, ChannelOrder{kQuad, {channels}}, kHeight, kWidth, Edge::kFront);
    const auto finite = [&] {
      Guarded<int> flag(1, Edge::kBack, 0);
      QuadsTask<T> task = quads_task(out.planes(), channels);
      task.floats = floats.data();
      task.not_finite = flag.data();
      kernels_for<T>().read_quads(task, nullptr);
      return flag[0] == 0;
    };
    in_every_order([&] {
      EXPECT_TRUE(finite());
      for (int n = 0; n < kImages; ++n) {
        ExpectedImage expected(channels, kHeight, kWidth);
        for (size_t i = 0; i < expected.values.size(); ++i)
          expected.values[i].wanted = floats[static_cast<size_t>(n) * expected.values.size() + i];
        EXPECT_TRUE(out.holds(n, expected)) << n;
      }
    });
    for (float bad : {kNaN, kInfinity, -kInfinity}) {
      for (size_t at = 0; at < floats.size(); at += kPixels - 1) {  // other pixels of all channels
        const float good = std::exchange(floats[at], bad);
        EXPECT_FALSE(finite()) << bad << " at " << at << " of " << channels << " channels";
        floats[at] = good;
      }
    }
  }
}

TEST(CudaReadQuads, CopiesFloatsAndFindsWhatIsNotFinite) {
  check_quads_of_floats<float>();
  check_quads_of_floats<__half>();
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

template <typename T>
void check_write_floats(const ChannelOrder& order) {
  constexpr int kHeight = 5, kWidth = 9;
  Random random(1);
  GuardedPlanes<T> in(kImages, order, kHeight, kWidth, Edge::kFront);
  in.fill(random);
  in_every_order([&] {
    Guarded<float> out(static_cast<size_t>(kImages * order.channels() * kHeight * kWidth), Edge::kBack,
                       kCanary);
    kernels_for<T>().write_floats({in.const_planes(), out.data(), kImages, order.for_kernels()}, nullptr);
    size_t at = 0;
    for (int n = 0; n < kImages; ++n) {
      for (const Expected& value : in.image(n).values) EXPECT_EQ(out[at++], value.wanted) << n;
    }
  });
}

TEST(CudaWriteFloats, PutsChannelsInOrder) {
  for (const ChannelOrder& order :
       {kPlanar, kSegments, ChannelOrder{kClusterChannels, {16, 3}}, ChannelOrder{kClusterChannels, {33}}}) {
    check_write_floats<float>(order);
    check_write_floats<__half>(order);
  }
}

}  // namespace
}  // namespace squish::cuda
