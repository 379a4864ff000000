// The convolution kernels on the emulator against plain double loops.
#include <gtest/gtest.h>

#include "model/graph.h"
#include "support/cluster_list.h"
#include "support/emulated_kernels.h"
#include "support/net_builder.h"
#include "support/planes.h"
#include "support/thread_orders.h"
#include "support/windows.h"

namespace squish::cuda {
namespace {

using emulator::Options;
using emulator::ScopedOptions;
using testing::ClusterList;
using testing::Edge;
using testing::ExpectedImage;
using testing::GuardedPlanes;
using testing::kEdges;
using testing::kThreadOrders;
using testing::kWindows;
using testing::Random;
using testing::square;
using testing::Storage;

constexpr int kImages = 2;

struct Shape2 {
  int height, width;
};

// A convolution op of random clusters with guarded input and output.
template <typename T>
class ConvCase {
 public:
  ConvCase(const Window& w, Shape2 in, int in_channels, int out_channels, double density, uint32_t seed)
      : random_(seed),
        workers_(seed % 8 == 0 ? 2 : 1),
        edge_(kEdges[seed % 2]),
        window_(w),
        height_(conv_extent(in.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom)),
        width_(conv_extent(in.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right)),
        in_(kImages, in_channels, in.height, in.width, edge_),
        list_(random_, seed % 3 != 0) {
    in_.fill(random_);
    list_.add_conv(out_channels, in_channels, w, density);
    task_.in = in_.const_planes();
    task_.clusters = list_.clusters(in.height * in.width, in.width, edge_);
    task_.images = kImages;
    task_.stride_h = w.stride_h;
    task_.stride_w = w.stride_w;
    task_.conv_height = height_;
    task_.conv_width = width_;
    task_.padded = w.pad_top + w.pad_left + w.pad_bottom + w.pad_right > 0;
  }

  int height() const { return height_; }
  int width() const { return width_; }

  void check_conv(int pixels) {
    task_.pixels = pixels;
    check({height_, width_}, kernels_for<T>().conv, [](const ExpectedImage& conv) { return conv; });
  }

  void check_pooled(Shape2 out, Tiling tiling) {
    task_.tiling = tiling;
    check(out, kernels_for<T>().conv_pooled,
          [=](const ExpectedImage& conv) { return testing::pooled(conv, out.height, out.width); });
  }

 private:
  template <typename Then>
  void check(Shape2 out, void (*kernel)(const ConvTask<T>&, Stream), const Then& then) {
    for (emulator::Order order : kThreadOrders) {
      const ScopedOptions options({order, workers_});
      GuardedPlanes<T> output(kImages, list_.out_channels(), out.height, out.width, edge_);
      task_.out = output.planes();
      kernel(task_, nullptr);
      for (int n = 0; n < kImages; ++n) {
        const ExpectedImage conv =
            list_.expected(in_.image(n), height_, width_, window_.stride_h, window_.stride_w);
        ASSERT_TRUE(output.holds(n, then(conv)))
            << "image " << n << ", " << window_.kernel_h << "x" << window_.kernel_w << ", " << height_ << "x"
            << width_ << " pixels, " << list_.out_channels() << " channels";
      }
    }
  }

  Random random_;
  int workers_;
  Edge edge_;
  Window window_;
  int height_, width_;
  GuardedPlanes<T> in_;
  ClusterList<T> list_;
  ConvTask<T> task_{};
};

TEST(CudaConv, AgreesWithPlainLoopsForAnyWindow) {
  uint32_t seed = 0;
  for (const Window& window : kWindows) {
    for (int pixels : {1, 2}) {
      ConvCase<float>(window, {9, 14}, 3, 18, 0.7, ++seed).check_conv(pixels);
    }
  }
}

// A run is 128 pixels, or 256: below, equal, above, several.
TEST(CudaConv, AgreesWithPlainLoopsAroundTheRunOfPixels) {
  uint32_t seed = 100;
  const Shape2 shapes[] = {{1, 1}, {1, 127}, {8, 16}, {3, 43}, {15, 17}, {16, 16}, {257, 1}, {19, 29}};
  for (const Shape2& shape : shapes) {
    for (int pixels : {1, 2}) ConvCase<float>(square(1), shape, 5, 16, 0.6, ++seed).check_conv(pixels);
    ConvCase<float>(square(3, 1, 1), shape, 2, 7, 0.6, ++seed).check_conv(1);
  }
}

// A chunk is 64 clusters.
TEST(CudaConv, AgreesWithPlainLoopsAtAnyDensity) {
  uint32_t seed = 200;
  for (double density : {0.0, 0.02, 0.1, 0.5, 1.0}) {
    for (int in_channels : {1, 7, 8, 64, 65}) {
      for (int out_channels : {1, 16, 33}) {
        ++seed;
        ConvCase<float>(square(3, 1, 1), {6, 7}, in_channels, out_channels, density, seed)
            .check_conv(1 + static_cast<int>(seed % 2));
      }
    }
  }
}

// 32 products are added in f16.
TEST(CudaConv, AgreesWithPlainLoopsInHalfPrecision) {
  uint32_t seed = 300;
  for (int in_channels : {1, 31, 32, 33, 64, 97}) {
    for (int pixels : {1, 2})
      ConvCase<__half>(square(1), {5, 31}, in_channels, 19, 1.0, ++seed).check_conv(pixels);
  }
  for (double density : {0.0, 0.1, 0.5}) {
    for (int pixels : {1, 2}) {
      ConvCase<__half>(square(3, 1, 1), {9, 13}, 20, 19, density, ++seed).check_conv(pixels);
    }
  }
}

// 2048 + 0.99 is 2048 again in a half, whose neighbour is 2050: what is added to it in the same run is lost, not more.
TEST(CudaConv, AddsNoMoreThanSomeProductsInHalfPrecision) {
  constexpr int kTaps = 2 * kHalfTaps;
  const float small = testing::Storage<__half>::rounded(0.99f);
  Random random(1);
  ClusterList<__half> list(random, false);
  list.add_conv(kClusterChannels, kTaps, square(1), 1.0, [&](int tap) { return tap == 0 ? 2048 : small; });
  GuardedPlanes<__half> in(1, kTaps, 1, 1, Edge::kBack), out(1, kClusterChannels, 1, 1, Edge::kBack);
  for (int c = 0; c < kTaps; ++c) in.value(0, c) = testing::Storage<__half>::make(1);
  ConvTask<__half> task{};
  task.in = in.const_planes();
  task.out = out.planes();
  task.clusters = list.clusters(1, 1, Edge::kBack);
  task.images = task.stride_h = task.stride_w = task.conv_height = task.conv_width = task.pixels = 1;
  kernels_for<__half>().conv(task, nullptr);
  const float sum = testing::Storage<__half>::get(out.value(0, 0));
  EXPECT_LT(std::abs(sum - (2048 + (kTaps - 1) * small)), kHalfTaps + 2);
}

TEST(CudaConvPooled, AgreesWithPlainLoopsInAnyTiles) {
  uint32_t seed = 400;
  for (const Window& window : {square(1), square(3, 2), square(3, 1, 1)}) {
    for (const Shape2& shape : {Shape2{5, 5}, {11, 12}, {16, 9}, {27, 30}}) {
      for (const Shape2& tile : {Shape2{1, 1}, {7, 3}, {2, 12}, {5, 5}}) {
        ConvCase<float> conv(window, shape, 3, 18, 0.8, ++seed);
        if (conv.height() < 3 || conv.width() < 3) continue;
        const bool ceil_mode = seed % 2 == 0;
        const Shape2 out{pool_extent(conv.height(), 3, 2, 0, 0, ceil_mode),
                         pool_extent(conv.width(), 3, 2, 0, 0, ceil_mode)};
        conv.check_pooled(out, {tile.height, tile.width, (out.height + tile.height - 1) / tile.height,
                                (out.width + tile.width - 1) / tile.width});
      }
    }
  }
}

}  // namespace
}  // namespace squish::cuda
