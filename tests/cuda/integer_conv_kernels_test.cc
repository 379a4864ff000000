// Convolutions of integer arithmetic, with and without tensor cores, against plain loops: all is exact, to the bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "cuda/divider.h"
#include "cuda/integer_pack.h"
#include "model/graph.h"
#include "support/emulated_kernels.h"
#include "support/integer_cases.h"
#include "support/net_builder.h"
#include "support/on_tensor_cores.h"
#include "support/windows.h"

namespace squish::cuda {
namespace {

using testing::Edge;
using testing::Guarded;
using testing::held_as;
using testing::HeldImages;
using testing::in_every_order;
using testing::kAllResults;
using testing::kEdges;
using testing::kInFloats;
using testing::kWindows;
using testing::Random;
using testing::Results;
using testing::square;

constexpr int kImages = testing::kIntegerImages;

struct Shape2 {
  int height, width;
};

template <typename T>
std::unique_ptr<Guarded<T>> guarded(const std::vector<T>& values, Edge edge) {
  auto copy = std::make_unique<Guarded<T>>(values.size(), edge, T{});
  for (size_t i = 0; i < values.size(); ++i) (*copy)[i] = values[i];
  return copy;
}

// Random clusters of one or two convolutions side by side, on guarded input.
class ConvCase {
 public:
  ConvCase(const Window& w, Shape2 in, int in_channels, std::vector<int> out_channels, double density,
           uint32_t seed)
      : random_(seed),
        workers_(seed % 8 == 0 ? 2 : 1),
        edge_(kEdges[seed % 2]),
        window_(w),
        zero_(random_.chance(0.3) ? 0 : random_.between(1, 255)),
        relu_(random_.chance(0.5)),
        height_(conv_extent(in.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom)),
        width_(conv_extent(in.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right)),
        in_(kImages, {in_channels}, in.height, in.width, held_as(0.01f, zero_), edge_),
        segments_(std::move(out_channels)) {
    in_.fill(random_);
    for (int channels : segments_) add_conv(channels, density);
    task_.in = in_.quads();
    task_.padding = {static_cast<uint32_t>(zero_) * 0x01010101};
    task_.images = kImages;
    task_.stride_h = w.stride_h;
    task_.stride_w = w.stride_w;
    task_.conv_height = height_;
    task_.conv_width = width_;
    task_.padded = w.pad_top + w.pad_left + w.pad_bottom + w.pad_right > 0;
    give_weights();
  }

  int height() const { return height_; }
  int width() const { return width_; }

  void check_conv(int pixels, Results results) {
    task_.pixels = pixels;
    check_conv(results, [&] { emulated_integer_kernels().conv(task_, nullptr); });
  }

  // On tensor cores.
  void check_conv_mma(int width, int tiles, int slices, int warps, Results results) {
    give_bundles(width);
    mma_task_.tiles = tiles;
    mma_task_.slices = slices;
    mma_task_.warps = warps;
    mma_task_.image_pixels = divider(int64_t{height_} * width_);
    mma_task_.row_pixels = divider(width_);
    check_conv(results, [&] {
      mma_task_.conv = task_;
      emulated_integer_kernels().conv_mma(mma_task_, nullptr);
    });
  }

  template <typename Run>
  void check_conv(Results results, const Run& run) {
    const std::vector<float> wanted = expected(results);
    const int channels = static_cast<int>(sums_.size());
    in_every_order(
        [&] {
          HeldImages out(kImages, segments_, height_, width_, held(results), edge_);
          Guarded<float> callers(wanted.size(), edge_, std::numeric_limits<float>::quiet_NaN());
          task_.out = out.planes<void>();
          task_.results = results == Results::kCallers ? callers.data() : nullptr;
          run();
          if (results != Results::kCallers) {
            ASSERT_TRUE(out.holds([&](int n, int c, int y, int x) { return wanted[index(n, c, y, x)]; }));
            return;
          }
          ASSERT_EQ(std::vector<float>(callers.data(), callers.data() + callers.size()), wanted)
              << channels << " channels";
        },
        workers_);
  }

  void check_pooled(Shape2 out_shape, Tiling tiling, Results results) {
    task_.tiling = tiling;
    check_pooled(out_shape, results, [&] { emulated_integer_kernels().conv_pooled(task_, nullptr); });
  }

  void check_pooled_mma(Shape2 out_shape, Tiling tiling, int width, int tiles, int warps, Results results) {
    task_.tiling = tiling;
    give_bundles(width);
    mma_task_.tiles = tiles;
    mma_task_.slices = 1;
    mma_task_.warps = warps;
    mma_task_.tile_row_pixels = divider(2 * tiling.width + 1);
    mma_task_.plane_quads = mma_plane_quads(tiling);
    check_pooled(out_shape, results, [&] {
      mma_task_.conv = task_;
      emulated_integer_kernels().conv_mma_pooled(mma_task_, nullptr);
    });
  }

  template <typename Run>
  void check_pooled(Shape2 out_shape, Results results, const Run& run) {
    const std::vector<float> conv = expected(results);
    task_.results = nullptr;
    in_every_order(
        [&] {
          HeldImages out(kImages, segments_, out_shape.height, out_shape.width, held(results), edge_);
          task_.out = out.planes<void>();
          run();
          ASSERT_TRUE(out.holds([&](int n, int c, int y, int x) {
            float best = conv[index(n, c, 2 * y, 2 * x)];
            for (int row = 2 * y; row < std::min(2 * y + 3, height_); ++row) {
              for (int column = 2 * x; column < std::min(2 * x + 3, width_); ++column)
                best = std::max(best, conv[index(n, c, row, column)]);
            }
            return best;
          })) << out_shape.height
              << "x" << out_shape.width;
        },
        workers_);
  }

 private:
  struct Cluster {
    int quad, dy, dx;
    int8_t weights[kClusterChannels][kQuad];
  };
  struct Channel {  // an output's: its block's clusters, its row in them, and what makes results of sums
    size_t block;
    int row;
    float factor, term;
  };

  Held held(Results results) const {
    return results == Results::kBytes ? held_as(0.02f, out_zero_) : kInFloats;
  }

  int8_t random_weight() { return static_cast<int8_t>(random_.chance(0.2) ? 0 : random_.between(-127, 127)); }

  void add_conv(int out_channels, double density) {
    for (int first = 0; first < out_channels; first += kClusterChannels) {
      const int channels = std::min(kClusterChannels, out_channels - first);
      std::vector<Cluster> clusters;
      for (int quad = 0; quad < (in_.channels() + kQuad - 1) / kQuad; ++quad) {
        for (int y = 0; y < window_.kernel_h; ++y) {
          for (int x = 0; x < window_.kernel_w; ++x) {
            if (!random_.chance(density)) continue;
            Cluster cluster{quad, y - window_.pad_top, x - window_.pad_left, {}};
            for (int o = 0; o < channels; ++o) {
              for (int i = 0; i < std::min(kQuad, in_.channels() - quad * kQuad); ++i)
                cluster.weights[o][i] = random_weight();
            }
            clusters.push_back(cluster);
          }
        }
      }
      for (int o = 0; o < kClusterChannels; ++o) {
        const float factor = 60 / (5000 * std::sqrt(4.0f * static_cast<float>(clusters.size()) + 1));
        factor_.push_back(o < channels ? factor * (0.5f + static_cast<float>(random_.unit())) : 0);
        term_.push_back(o < channels ? static_cast<float>(random_.unit() * 255) : 0);
        int start = 0;
        for (const Cluster& cluster : clusters) {
          for (int8_t weight : cluster.weights[o]) start -= zero_ * weight;
        }
        start_.push_back(start);
        if (o < channels) sums_.push_back({blocks_.size(), o, factor_.back(), term_.back()});
      }
      out_blocks_.push_back({taps_, static_cast<int>(clusters.size()), channels_, channels});
      taps_ += static_cast<int64_t>(clusters.size());
      channels_ += channels;
      blocks_.push_back(std::move(clusters));
    }
  }

  void give_weights() {
    std::vector<Tap> taps;
    for (const auto& clusters : blocks_) {
      for (const Cluster& cluster : clusters) {
        taps.push_back({(cluster.quad * in_.height() + cluster.dy) * in_.width() + cluster.dx,
                        static_cast<int16_t>(cluster.dy), static_cast<int16_t>(cluster.dx)});
        for (const auto& row : cluster.weights) {
          uint32_t bits = 0;
          for (int i = 0; i < kQuad; ++i) bits |= uint32_t{static_cast<uint8_t>(row[i])} << 8 * i;
          weights_.push_back({bits});
        }
      }
    }
    guarded_blocks_ = guarded(out_blocks_, edge_);
    guarded_taps_ = guarded(taps, edge_);
    guarded_weights_ = guarded(weights_, edge_);
    guarded_start_ = guarded(start_, edge_);
    guarded_factor_ = guarded(factor_, edge_);
    guarded_term_ = guarded(term_, edge_);
    task_.clusters = {guarded_blocks_->data(),
                      guarded_taps_->data(),
                      guarded_weights_->data(),
                      guarded_start_->data(),
                      relu_ ? 0 : -std::numeric_limits<float>::infinity(),
                      static_cast<int>(out_blocks_.size())};
    task_.factor = guarded_factor_->data();
    task_.term = guarded_term_->data();
    task_.low = relu_ ? out_zero_ : 0;
  }

  // What the backend makes of these clusters for tensor cores.
  void give_bundles(int width) {
    PackedIntegerConvs packed;
    packed.blocks = out_blocks_;
    for (int channels : segments_) packed.conv_blocks.push_back(blocks_of(channels));
    for (const auto& clusters : blocks_) {
      for (const Cluster& cluster : clusters)
        packed.columns.push_back(
            {cluster.quad, static_cast<int16_t>(cluster.dy), static_cast<int16_t>(cluster.dx)});
    }
    packed.weights = weights_;
    const PackedQuadBundles bundles = pack_quad_bundles(packed, width);
    guarded_bundles_ = guarded(bundles.bundles, edge_);
    guarded_bundle_taps_ =
        guarded(taps_of(bundles.quads, int64_t{in_.height()} * in_.width(), in_.width()), edge_);
    guarded_bundle_weights_ = guarded(bundles.weights, edge_);
    mma_task_.bundles = {guarded_bundles_->data(), guarded_bundle_taps_->data(),
                         guarded_bundle_weights_->data(), static_cast<int>(bundles.bundles.size()),
                         bundles.width};
  }

  size_t index(int n, int c, int y, int x) const {
    return static_cast<size_t>(((n * channels_ + c) * height_ + y) * width_ + x);
  }

  int64_t sum(int n, const Channel& channel, int y, int x) const {
    int64_t sum = 0;
    for (const Cluster& cluster : blocks_[channel.block]) {
      const int row = y * window_.stride_h + cluster.dy, column = x * window_.stride_w + cluster.dx;
      if (row < 0 || column < 0 || row >= in_.height() || column >= in_.width()) continue;
      for (int i = 0; i < std::min(kQuad, in_.channels() - cluster.quad * kQuad); ++i)
        sum += cluster.weights[channel.row][i] * (in_.byte(n, cluster.quad * kQuad + i, row, column) - zero_);
    }
    return sum;
  }

  // Bytes as floats, or floats, [images][channels][height][width].
  std::vector<float> expected(Results results) const {
    std::vector<float> wanted;
    for (int n = 0; n < kImages; ++n) {
      for (const Channel& channel : sums_) {
        for (int y = 0; y < height_; ++y) {
          for (int x = 0; x < width_; ++x) {
            const auto exact = static_cast<float>(sum(n, channel, y, x));
            if (results == Results::kBytes) {
              wanted.push_back(testing::rounded_byte(exact, channel.factor, channel.term, task_.low));
              continue;
            }
            const volatile float product = exact * channel.factor;
            const float value = product + channel.term;
            wanted.push_back(relu_ ? std::max(value, 0.0f) : value);
          }
        }
      }
    }
    return wanted;
  }

  Random random_;
  int workers_;
  Edge edge_;
  Window window_;
  int zero_, out_zero_ = 77;
  bool relu_;
  int height_, width_;
  HeldImages in_;
  std::vector<int> segments_;
  std::vector<std::vector<Cluster>> blocks_;
  std::vector<OutputBlock> out_blocks_;
  std::vector<Channel> sums_;
  std::vector<ByteQuad> weights_;
  std::vector<int32_t> start_;
  std::vector<float> factor_, term_;
  int64_t taps_ = 0;
  int channels_ = 0;
  std::unique_ptr<Guarded<OutputBlock>> guarded_blocks_;
  std::unique_ptr<Guarded<Tap>> guarded_taps_;
  std::unique_ptr<Guarded<ByteQuad>> guarded_weights_;
  std::unique_ptr<Guarded<int32_t>> guarded_start_;
  std::unique_ptr<Guarded<float>> guarded_factor_, guarded_term_;
  IntegerConvTask task_{};
  std::unique_ptr<Guarded<Bundle>> guarded_bundles_;
  std::unique_ptr<Guarded<Tap>> guarded_bundle_taps_;
  std::unique_ptr<Guarded<ByteQuad>> guarded_bundle_weights_;
  IntegerMmaTask mma_task_{};
};

class CudaIntegerConvMma : public testing::OnTensorCores {};
class CudaIntegerConvMmaPooled : public testing::OnTensorCores {};

TEST(CudaIntegerConv, IsPlainLoopsForAnyWindow) {
  uint32_t seed = 0;
  for (const Window& window : kWindows) {
    for (int pixels : {1, 2}) {
      for (Results results : kAllResults)
        ConvCase(window, {9, 14}, 7, {18, 5}, 0.7, ++seed).check_conv(pixels, results);
    }
  }
}

// A run is 128 pixels, or 256: below, equal, above, several.
TEST(CudaIntegerConv, IsPlainLoopsAroundTheRunOfPixels) {
  uint32_t seed = 100;
  const Shape2 shapes[] = {{1, 1}, {1, 127}, {8, 16}, {3, 43}, {15, 17}, {16, 16}, {257, 1}, {19, 29}};
  for (const Shape2& shape : shapes) {
    for (int pixels : {1, 2}) {
      ++seed;
      ConvCase(square(1), shape, 10, {16}, 0.6, seed).check_conv(pixels, kAllResults[seed % 3]);
    }
    ++seed;
    ConvCase(square(3, 1, 1), shape, 3, {7}, 0.6, seed).check_conv(1, kAllResults[seed % 3]);
  }
}

// A chunk is 64 clusters.
TEST(CudaIntegerConv, IsPlainLoopsAtAnyDensity) {
  uint32_t seed = 200;
  for (double density : {0.0, 0.02, 0.1, 0.5, 1.0}) {
    for (int in_channels : {1, 7, 28, 29, 256, 257}) {
      for (int out_channels : {1, 16, 33}) {
        ++seed;
        const Window window = in_channels > 100 ? square(1) : square(3, 1, 1);
        ConvCase(window, {6, 7}, in_channels, {out_channels}, density, seed)
            .check_conv(1 + static_cast<int>(seed % 2), kAllResults[seed % 3]);
      }
    }
  }
}

TEST_F(CudaIntegerConvMma, IsPlainLoopsForAnyWindow) {
  uint32_t seed = 800;
  for (const Window& window : kWindows) {
    for (int width : {1, 2}) {
      for (int tiles : {1, 2}) {
        for (Results results : kAllResults)
          ConvCase(window, {9, 14}, 7, {18, 5}, 0.7, ++seed).check_conv_mma(width, tiles, 1, 2, results);
      }
    }
  }
}

// Everything else drawn, so that nothing goes along with something else.
void check_drawn(const Window& window, Shape2 in, int in_channels, const std::vector<int>& out_channels,
                 double density, int warps, uint32_t seed) {
  Random random(seed);
  const int width = random.between(1, 2), tiles = random.between(1, 2);
  ConvCase(window, in, in_channels, out_channels, density, seed)
      .check_conv_mma(width, tiles, 1, warps, random.pick(kAllResults));
}

TEST_F(CudaIntegerConvMma, IsPlainLoopsAroundTheTile) {
  uint32_t seed = 900;
  for (const Shape2& shape : {Shape2{1, 1}, {1, 15}, {4, 4}, {1, 17}, {3, 11}, {7, 9}, {13, 13}}) {
    for (int warps = 1; warps <= kMaxWarps; ++warps)
      check_drawn(square(1), shape, 10, {40}, 0.6, warps, ++seed);
  }
}

// Steps of four quads: none, one, two, three, and more than are under way at once.
TEST_F(CudaIntegerConvMma, IsPlainLoopsAtAnyDensity) {
  uint32_t seed = 1000;
  for (double density : {0.0, 0.02, 0.1, 0.5, 1.0}) {
    for (int in_channels : {1, 7, 28, 33, 257}) {
      for (const std::vector<int>& out_channels : {std::vector<int>{1}, {16}, {33}, {20, 48}}) {
        const Window window = in_channels > 100 ? square(1) : square(3, 1, 1);
        check_drawn(window, {5, 7}, in_channels, out_channels, density, 2, ++seed);
      }
    }
  }
}

TEST_F(CudaIntegerConvMma, AddsUpSlices) {
  uint32_t seed = 1100;
  for (int width : {1, 2}) {
    for (int tiles : {1, 2}) {
      for (int slices : {2, 4, 8}) {
        for (int warps = slices; warps <= kMaxWarps; warps *= 2) {
          for (Results results : kAllResults) {
            const double density = ++seed % 2 == 0 ? 0.1 : 1.0;
            ConvCase(square(3, 1, 1), {5, 9}, 20, {18, 5}, density, seed)
                .check_conv_mma(width, tiles, slices, warps, results);
          }
        }
      }
    }
  }
}

// Of a convolution whose output is large enough to be pooled. body(case, output, tiling, seed)
template <typename Body>
void for_many_pooled(uint32_t seed, const Body& body) {
  for (const Window& window : {square(1), square(3, 2), square(3, 1, 1)}) {
    for (const Shape2& shape : {Shape2{5, 5}, {11, 12}, {16, 9}, {27, 30}}) {
      for (const Shape2& tile : {Shape2{1, 1}, {7, 3}, {2, 12}, {5, 5}}) {
        ConvCase conv(window, shape, 6, {18, 3}, 0.8, ++seed);
        if (conv.height() < 3 || conv.width() < 3) continue;
        const bool ceil_mode = seed % 2 == 0;
        const Shape2 out{pool_extent(conv.height(), 3, 2, 0, 0, ceil_mode),
                         pool_extent(conv.width(), 3, 2, 0, 0, ceil_mode)};
        body(conv, out,
             Tiling{tile.height, tile.width, (out.height + tile.height - 1) / tile.height,
                    (out.width + tile.width - 1) / tile.width},
             seed);
      }
    }
  }
}

TEST(CudaIntegerConvPooled, IsPlainLoopsInAnyTiles) {
  for_many_pooled(400, [](ConvCase& conv, Shape2 out, const Tiling& tiling, uint32_t seed) {
    conv.check_pooled(out, tiling, seed / 2 % 2 == 0 ? Results::kBytes : Results::kFloats);
  });
}

TEST_F(CudaIntegerConvMmaPooled, IsPlainLoopsInAnyTiles) {
  for_many_pooled(1200, [](ConvCase& conv, Shape2 out, const Tiling& tiling, uint32_t seed) {
    Random random(seed);
    const int width = random.between(1, 2), tiles = random.between(1, 2);
    conv.check_pooled_mma(out, tiling, width, tiles, random.between(1, kMaxWarps),
                          random.chance(0.5) ? Results::kBytes : Results::kFloats);
  });
}

// 255 pixels of the convolution's output: as many as fit.
TEST_F(CudaIntegerConvMmaPooled, IsPlainLoopsInTheLargestTile) {
  for (Results results : {Results::kBytes, Results::kFloats}) {
    ConvCase conv(square(3, 1, 1), {16, 18}, 6, {40, 20}, 0.8, results == Results::kBytes ? 1300 : 1301);
    conv.check_pooled_mma({7, 8}, {7, 8, 1, 1}, 2, 2, kMaxWarps, results);
  }
}

}  // namespace
}  // namespace squish::cuda
