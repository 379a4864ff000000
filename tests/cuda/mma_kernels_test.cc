// The kernels for tensor cores on the emulator against plain double loops.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cuda/divider.h"
#include "support/emulated_kernels.h"
#include "support/mma_convs.h"
#include "support/net_builder.h"
#include "support/on_tensor_cores.h"
#include "support/thread_orders.h"
#include "support/windows.h"

namespace squish::cuda {
namespace {

using emulator::ScopedOptions;
using testing::ChannelOrder;
using testing::ConvStyle;
using testing::Edge;
using testing::ExpectedImage;
using testing::FireWidths;
using testing::GuardedPlanes;
using testing::kEdges;
using testing::kThreadOrders;
using testing::kWindows;
using testing::MmaConvs;
using testing::NetBuilder;
using testing::Random;
using testing::square;
using testing::Storage;

struct Shape2 {
  int height, width;
};

constexpr double kDensities[] = {0.5, 1, 0.15, 0};

ChannelOrder quads(int channels) { return {kQuad, {channels}}; }
ChannelOrder blocks(std::vector<int> segments) { return {kClusterChannels, std::move(segments)}; }

ConvStyle style_of(uint32_t seed, double density) { return {seed % 3 != 0, density, seed % 2 == 0}; }

Tiling tiles_of(Shape2 out, Shape2 tile) {
  return {tile.height, tile.width, (out.height + tile.height - 1) / tile.height,
          (out.width + tile.width - 1) / tile.width};
}

Shape2 pooled_shape(Shape2 conv, bool ceil_mode) {
  return {pool_extent(conv.height, 3, 2, 0, 0, ceil_mode), pool_extent(conv.width, 3, 2, 0, 0, ceil_mode)};
}

// Random images, guarded, and what a kernel wrote for them.
template <typename T>
class Case {
 protected:
  Case(const ChannelOrder& in, Shape2 size, int images, uint32_t seed)
      : images_(images),
        workers_(seed % 8 == 0 ? 2 : 1),
        edge_(kEdges[seed % 2]),
        in_(images, in, size.height, size.width, edge_) {
    Random random(seed);
    in_.fill(random);
  }

  // Runs kernel(task), which writes channels in this order.
  template <typename Task>
  void check(Task& task, void (*kernel)(const Task&, Stream), const ChannelOrder& order,
             const std::vector<ExpectedImage>& expected) const {
    for (emulator::Order threads : kThreadOrders) {
      const ScopedOptions options({threads, workers_});
      GuardedPlanes<T> out(images_, order, expected[0].height, expected[0].width, edge_);
      task.out = out.planes();
      kernel(task, nullptr);
      for (int n = 0; n < images_; ++n) {
        ASSERT_TRUE(out.holds(n, expected[static_cast<size_t>(n)]))
            << "image " << n << ", " << expected[0].channels << " channels, " << expected[0].height << "x"
            << expected[0].width << ", order of threads " << static_cast<int>(threads);
      }
    }
  }

  // The same into the caller's floats.
  template <typename Task>
  void check_results(Task& task, void (*kernel)(const Task&, Stream), const ChannelOrder& order,
                     const std::vector<ExpectedImage>& expected) const {
    const int height = expected[0].height, width = expected[0].width;
    ExpectedImage all(images_ * order.channels(), height, width);
    all.values.clear();
    for (const ExpectedImage& image : expected)
      all.values.insert(all.values.end(), image.values.begin(), image.values.end());
    const ScopedOptions options({kThreadOrders[0], workers_});
    GuardedPlanes<T> out(images_, order, height, width, edge_);
    GuardedPlanes<float> results(1, all.channels, height, width, edge_);
    task.out = out.planes();
    task.results = results.planes().data;
    task.segments = order.for_kernels();
    kernel(task, nullptr);
    task.results = nullptr;
    ASSERT_TRUE(results.holds(0, all))
        << "the caller's, " << order.channels() << " channels, " << height << "x" << width;
    for (int n = 0; n < images_; ++n) {
      for (int i = 0; i < order.stored_channels() * height * width; ++i)
        ASSERT_EQ(Storage<T>::get(out.value(n, i)), Storage<T>::rounded(testing::kCanary)) << "written twice";
    }
  }

  std::vector<ExpectedImage> pooled(const std::vector<ExpectedImage>& convs, Shape2 out) const {
    std::vector<ExpectedImage> pooled;
    for (const ExpectedImage& conv : convs) pooled.push_back(testing::pooled(conv, out.height, out.width));
    return pooled;
  }

  int images_, workers_;
  Edge edge_;
  GuardedPlanes<T> in_;
};

template <typename T>
class ConvCase : Case<T> {
 public:
  ConvCase(const Window& w, const ChannelOrder& in, Shape2 size, int out_channels, double density, int images,
           uint32_t seed)
      : Case<T>(in, size, images, seed),
        net_(seed, in.channels()),
        ceil_mode_(seed % 2 == 0),
        convs_({conv(w, out_channels, style_of(seed, density))}, in, this->edge_) {
    for (int n = 0; n < images; ++n) expected_.push_back(convs_.expected(this->in_.image(n)));
    task_.in = this->in_.const_planes();
    task_.convs = convs_.bundles(size.height, size.width);
    task_.images = images;
    task_.stride_h = w.stride_h;
    task_.stride_w = w.stride_w;
    task_.conv_height = expected_[0].height;
    task_.conv_width = expected_[0].width;
    task_.image_pixels = divider(task_.conv_height * task_.conv_width);
    task_.row_pixels = divider(task_.conv_width);
    task_.padded = convs_.padded();
  }

  Shape2 shape() const { return {task_.conv_height, task_.conv_width}; }

  void check(int tiles, int slices, int warps) {
    task_.tiles = tiles;
    task_.slices = slices;
    task_.warps = warps;
    SCOPED_TRACE(std::to_string(tiles) + " tiles, " + std::to_string(slices) + " slices, " +
                 std::to_string(warps) + " warps, bundles of " + std::to_string(task_.convs.width));
    Case<T>::check(task_, kernels_for<T>().conv_mma, convs_.order(), expected_);
    Case<T>::check_results(task_, kernels_for<T>().conv_mma, convs_.order(), expected_);
  }

  void check_pooled(Shape2 tile, int tiles, int warps) {
    const Shape2 out = pool_in(tile, tiles, warps);
    SCOPED_TRACE(std::to_string(tiles) + " tiles, tiles of " + std::to_string(tile.height) + "x" +
                 std::to_string(tile.width) + ", " + std::to_string(warps) + " warps");
    Case<T>::check(task_, kernels_for<T>().conv_mma_pooled, convs_.order(), this->pooled(expected_, out));
  }

  // Of a dense convolution of 1x1: a pixel that is NaN is seen in the windows over it, and in no other.
  void check_pooled_nan(int bad, Shape2 tile) {
    const Shape2 out = pool_in(tile, 1, 3);
    const T good = std::exchange(this->in_.value(0, this->in_.at(0, bad)),
                                 Storage<T>::make(std::numeric_limits<float>::quiet_NaN()));
    GuardedPlanes<T> pooled(1, convs_.order(), out.height, out.width, this->edge_);
    task_.out = pooled.planes();
    kernels_for<T>().conv_mma_pooled(task_, nullptr);
    this->in_.value(0, this->in_.at(0, bad)) = good;
    for (int i = 0; i < out.height * out.width; ++i) {
      const int dy = bad / task_.conv_width - i / out.width * 2,
                dx = bad % task_.conv_width - i % out.width * 2;
      for (int c = 0; c < convs_.order().channels(); ++c) {
        ASSERT_EQ(std::isnan(Storage<T>::get(pooled.value(0, pooled.at(c, i)))),
                  dy >= 0 && dy < 3 && dx >= 0 && dx < 3)
            << bad << ", window " << i << ", channel " << c;
      }
    }
  }

 private:
  // The output's size.
  Shape2 pool_in(Shape2 tile, int tiles, int warps) {
    const Shape2 out = pooled_shape(shape(), ceil_mode_);
    task_.tiling = tiles_of(out, tile);
    task_.tile_row_pixels = divider(2 * tile.width + 1);
    task_.pooled_row_pixels = divider(tile.width);
    task_.tiles = tiles;
    task_.warps = warps;
    return out;
  }

  const ConvDescription* conv(const Window& w, int out_channels, const ConvStyle& style) {
    net_.conv(-1, out_channels, w, style);
    return &net_.net().layers[0].convs[0];
  }

  NetBuilder net_;
  bool ceil_mode_;
  MmaConvs<T> convs_;
  std::vector<ExpectedImage> expected_;
  MmaConvTask<T> task_{};
};

template <typename T>
class CudaConvMma : public testing::OnTensorCores {};
template <typename T>
class CudaConvMmaPooled : public testing::OnTensorCores {};
template <typename T>
class CudaFireMma : public testing::OnTensorCores {};
using Types = ::testing::Types<float, __half>;
TYPED_TEST_SUITE(CudaConvMma, Types);
TYPED_TEST_SUITE(CudaConvMmaPooled, Types);
TYPED_TEST_SUITE(CudaFireMma, Types);

TYPED_TEST(CudaConvMma, AgreesWithPlainLoopsForAnyWindow) {
  uint32_t seed = 0;
  for (const Window& window : kWindows) {
    for (const ChannelOrder& in : {quads(3), blocks({17})}) {
      ++seed;
      ConvCase<TypeParam> conv(window, in, {9, 14}, 18, 0.7, 2, seed);
      conv.check(1 + static_cast<int>(seed / 2 % 2), 1, 1 + static_cast<int>(seed % 8));
    }
  }
}

// A quad, or a block, and its neighbours; a bundle of one block or two.
TYPED_TEST(CudaConvMma, AgreesWithPlainLoopsOfAnyWidthAtAnyDensity) {
  const ChannelOrder inputs[] = {quads(1),    quads(3),    quads(4),     quads(5),     blocks({1}),
                                 blocks({4}), blocks({5}), blocks({16}), blocks({17}), blocks({40})};
  uint32_t seed = 100;
  for (const ChannelOrder& in : inputs) {
    for (int out_channels : {1, 10, 16, 17, 33, 64}) {
      ++seed;
      const Window window = seed % 3 == 0 ? square(1) : square(3, 1, 1);
      ConvCase<TypeParam> conv(window, in, {5, 7}, out_channels, kDensities[seed % 4], seed % 2 == 0 ? 1 : 3,
                               seed);
      conv.check(1 + static_cast<int>(seed % 2), 1, 1 + static_cast<int>(seed % 3));
    }
  }
}

// As a Fire writes them.
TYPED_TEST(CudaConvMma, ReadsSegments) {
  uint32_t seed = 200;
  for (const ChannelOrder& in : {blocks({5, 20}), blocks({16, 3}), blocks({33, 16})}) {
    for (double density : kDensities) {
      ConvCase<TypeParam>(square(3, 1, 1), in, {6, 5}, 19, density, 2, ++seed).check(1, 1, 4);
    }
  }
}

// Tiles of 16 pixels, one or two a warp: below, equal, above, several.
TYPED_TEST(CudaConvMma, AgreesWithPlainLoopsAroundTheTilesOfPixels) {
  uint32_t seed = 300;
  for (const Shape2& shape : {Shape2{1, 1}, {1, 15}, {4, 4}, {1, 17}, {3, 11}, {16, 2}, {15, 17}, {19, 29}}) {
    for (int images : {1, 3}) {
      ConvCase<TypeParam> conv(square(1), blocks({5}), shape, 20, 1, images, ++seed);
      for (int tiles : {1, 2}) conv.check(tiles, 1, 1 + static_cast<int>(seed * 3 % 8));
    }
  }
}

// Of 23 steps, of 3, and of none.
TYPED_TEST(CudaConvMma, AgreesWithPlainLoopsInAnySlices) {
  uint32_t seed = 400;
  for (const ChannelOrder& in : {blocks({40}), quads(4), blocks({6})}) {
    for (const Shape2& shape : {Shape2{1, 1}, {3, 5}, {9, 11}}) {
      ++seed;
      ConvCase<TypeParam> conv(square(3, 1, 1), in, shape, 16 + static_cast<int>(seed % 4) * 9,
                               in.channels() == 6 ? 0 : 1, 1 + static_cast<int>(seed % 3), seed);
      for (int slices : {2, 4, 8}) {
        for (int groups = 1; slices * groups <= kMaxWarps; groups *= 2)
          conv.check(1, slices, slices * groups);
      }
    }
  }
}

TYPED_TEST(CudaConvMmaPooled, AgreesWithPlainLoopsInAnyTiles) {
  uint32_t seed = 500;
  for (const Window& window : {square(1), square(3, 2), square(3, 1, 1), square(7, 2, 3)}) {
    for (const Shape2& shape : {Shape2{5, 5}, {11, 12}, {16, 9}, {27, 30}}) {
      for (const Shape2& tile : {Shape2{1, 1}, {7, 3}, {2, 12}, {5, 5}, {7, 7}}) {
        ++seed;
        const ChannelOrder in = seed % 2 == 0 ? quads(3) : blocks({6});
        ConvCase<TypeParam> conv(window, in, shape, seed % 3 == 0 ? 18 : 16, kDensities[seed % 4],
                                 seed % 5 == 0 ? 3 : 1, seed);
        if (conv.shape().height < 3 || conv.shape().width < 3) continue;
        conv.check_pooled(tile, 1 + static_cast<int>(seed / 3 % 2), 1 + static_cast<int>(seed % kMaxWarps));
      }
    }
  }
}

TYPED_TEST(CudaConvMmaPooled, GivesNaNForWindowsThatHoldOne) {
  for (uint32_t seed : {600u, 601u}) {
    ConvCase<TypeParam> conv(square(1), blocks({3}), {7, 8}, 19, 1, 1, seed);
    for (int bad = 0; bad < 7 * 8; ++bad) conv.check_pooled_nan(bad, {2, 3});
  }
}

template <typename T>
class FireCase : Case<T> {
 public:
  FireCase(const FireWidths& widths, const ChannelOrder& in, Shape2 size, double density, int images,
           uint32_t seed)
      : Case<T>(in, size, images, seed),
        net_(seed, in.channels()),
        layer_(net_.net().layers[static_cast<size_t>(net_.fire(-1, widths, style_of(seed, density)))]),
        squeeze_({&layer_.convs[kSqueeze]}, in, this->edge_),
        expands_(expands_of(layer_), squeeze_.order(), this->edge_),
        size_(size),
        ceil_mode_(seed / 2 % 2 == 0) {
    for (int n = 0; n < images; ++n) {
      const ExpectedImage squeezed = squeeze_.expected(this->in_.image(n));
      expected_.push_back(expands_.expected(testing::stored<T>(squeezed)));
    }
    task_.in = this->in_.const_planes();
    task_.squeeze = squeeze_.bundles(size.height, size.width);
    task_.images = images;
    task_.squeeze_blocks = squeeze_.packed().blocks;
  }

  void check(Shape2 tile, bool pooled, int splits, int warps) {
    const Shape2 out = pooled ? pooled_shape(size_, ceil_mode_) : size_;
    const int height = pooled ? 2 * tile.height + 1 : tile.height,
              width = pooled ? 2 * tile.width + 1 : tile.width;
    task_.expands = expands_.bundles(height + 2, width + 2);
    task_.tile_row_pixels = divider(width);
    task_.halo_row_pixels = divider(width + 2);
    task_.pooled_row_pixels = divider(tile.width);
    task_.splits = splits;
    task_.warps = warps;
    task_.pooled = pooled;
    task_.tiling = tiles_of(out, tile);
    SCOPED_TRACE(std::to_string(size_.height) + "x" + std::to_string(size_.width) + " in tiles of " +
                 std::to_string(tile.height) + "x" + std::to_string(tile.width) + ", " +
                 std::to_string(splits) + " splits, " + std::to_string(warps) + " warps");
    Case<T>::check(task_, kernels_for<T>().fire_mma, expands_.order(),
                   pooled ? this->pooled(expected_, out) : expected_);
  }

 private:
  static std::vector<const ConvDescription*> expands_of(const LayerDescription& fire) {
    std::vector<const ConvDescription*> convs;
    for (size_t i : {size_t{kExpand1x1}, size_t{kExpand3x3}}) {
      if (fire.convs[i].out_channels > 0) convs.push_back(&fire.convs[i]);
    }
    return convs;
  }

  NetBuilder net_;
  const LayerDescription& layer_;
  MmaConvs<T> squeeze_, expands_;
  Shape2 size_;
  bool ceil_mode_;
  std::vector<ExpectedImage> expected_;
  MmaFireTask<T> task_{};
};

// A squeeze of one block, two and three; expands that are gone.
constexpr FireWidths kWidths[] = {{1, 1, 1},  {5, 17, 18},  {16, 16, 16}, {17, 0, 33},
                                  {3, 33, 0}, {40, 10, 16}, {33, 64, 40}};

// Those of `count` in turn, so that all together meet all.
template <typename Choices>
auto in_turn(const Choices& choices, int turn, int count) {
  std::vector<std::decay_t<decltype(choices[0])>> taken;
  for (int i = 0; i < count; ++i)
    taken.push_back(choices[static_cast<size_t>(turn * count + i) % std::size(choices)]);
  return taken;
}

TYPED_TEST(CudaFireMma, AgreesWithPlainLoopsInAnyTiles) {
  constexpr Shape2 kTiles[] = {{8, 16}, {3, 5}, {13, 9}, {2, 29}, {1, 1}};
  int turn = 0;
  for (const FireWidths& widths : kWidths) {
    for (int extent : {1, 6, 13}) {
      ++turn;
      FireCase<TypeParam> fire(widths, turn % 2 == 0 ? quads(3) : blocks({6}), {extent, extent + 2}, 0.7,
                               1 + turn % 2, static_cast<uint32_t>(turn));
      for (const Shape2& tile : in_turn(kTiles, turn, 2)) {
        if (extent > 6 && tile.height == 1) continue;  // a block of threads a pixel
        fire.check(tile, false, 1 + turn % 3, 1 + (turn + tile.width) % kMaxWarps);
      }
    }
  }
}

TYPED_TEST(CudaFireMma, AgreesWithPlainLoopsWhenPooled) {
  constexpr Shape2 kTiles[] = {{3, 6}, {4, 4}, {1, 15}};
  int turn = 100;
  for (const FireWidths& widths : kWidths) {
    for (int extent : {3, 4, turn % 2 == 0 ? 14 : 15}) {
      ++turn;
      FireCase<TypeParam> fire(widths, turn % 2 == 0 ? quads(3) : blocks({6}), {extent, extent + 3}, 0.7,
                               1 + turn % 2, static_cast<uint32_t>(turn));
      for (const Shape2& tile : in_turn(kTiles, turn, extent < 14 ? 2 : 1))
        fire.check(tile, true, 1 + turn % 3, 1 + (turn + tile.width) % kMaxWarps);
    }
  }
}

TYPED_TEST(CudaFireMma, AgreesWithPlainLoopsAtAnyDensityAndReadsSegments) {
  uint32_t seed = 200;
  for (double density : kDensities) {
    for (const ChannelOrder& in : {blocks({5, 20}), blocks({40})}) {
      FireCase<TypeParam> fire({24, 20, 36}, in, {12, 11}, density, 2, ++seed);
      fire.check({6, 11}, false, 2, kMaxWarps);
      fire.check({3, 5}, true, 3, kMaxWarps);
    }
  }
}

}  // namespace
}  // namespace squish::cuda
