// The kernel of a whole Fire on the emulator against plain double loops.
#include <gtest/gtest.h>

#include "cuda/choose.h"
#include "model/graph.h"
#include "support/cluster_list.h"
#include "support/emulated_kernels.h"
#include "support/net_builder.h"
#include "support/planes.h"
#include "support/thread_orders.h"

namespace squish::cuda {
namespace {

using emulator::ScopedOptions;
using testing::ClusterList;
using testing::Edge;
using testing::ExpectedImage;
using testing::FireWidths;
using testing::GuardedPlanes;
using testing::kEdges;
using testing::kThreadOrders;
using testing::Random;
using testing::square;

constexpr int kImages = 2, kInChannels = 6;

template <typename T>
void check_fire(const KernelTable<T>& kernels, const FireWidths& widths, int height, int width,
                const Tiling& tiling, bool pooled, int splits, double density, uint32_t seed) {
  Random random(seed);
  const Edge edge = kEdges[seed % 2];
  GuardedPlanes<T> in(kImages, kInChannels, height, width, edge);
  in.fill(random);
  ClusterList<T> squeeze(random, true), expands(random, seed % 3 != 0);
  squeeze.add_conv(widths.squeeze, kInChannels, square(1), density);
  if (widths.expand1x1 > 0) expands.add_conv(widths.expand1x1, widths.squeeze, square(1), density);
  if (widths.expand3x3 > 0) expands.add_conv(widths.expand3x3, widths.squeeze, square(3, 1, 1), density);

  FireTask<T> task{};
  task.in = in.const_planes();
  task.squeeze = squeeze.clusters(height * width, width, edge);
  const int row = (pooled ? 2 * tiling.width + 1 : tiling.width) + 2,
            rows = (pooled ? 2 * tiling.height + 1 : tiling.height) + 2;
  task.expands = expands.clusters(rows * row, row, edge);
  task.images = kImages;
  task.squeeze_channels = widths.squeeze;
  task.splits = splits;
  task.pooled = pooled;
  task.tiling = tiling;
  const int out_height = pooled ? pool_extent(height, 3, 2, 0, 0, seed % 2 == 0) : height,
            out_width = pooled ? pool_extent(width, 3, 2, 0, 0, seed % 2 == 0) : width;
  ASSERT_GE(tiling.rows * tiling.height, out_height);
  ASSERT_GE(tiling.columns * tiling.width, out_width);
  for (emulator::Order order : kThreadOrders) {
    const ScopedOptions options({order, seed % 8 == 0 ? 2 : 1});
    GuardedPlanes<T> out(kImages, expands.out_channels(), out_height, out_width, edge);
    task.out = out.planes();
    kernels.fire(task, nullptr);
    for (int n = 0; n < kImages; ++n) {
      const auto squeezed = testing::stored<T>(squeeze.expected(in.image(n), height, width, 1, 1));
      const ExpectedImage expanded = expands.expected(squeezed, height, width, 1, 1);
      ASSERT_TRUE(out.holds(n, pooled ? testing::pooled(expanded, out_height, out_width) : expanded))
          << "image " << n << ", " << height << "x" << width << ", tiles of " << tiling.height << "x"
          << tiling.width << ", " << splits << " splits";
    }
  }
}

Tiling tiles(int height, int width, int tile_height, int tile_width) {
  return {tile_height, tile_width, (height + tile_height - 1) / tile_height,
          (width + tile_width - 1) / tile_width};
}

constexpr FireWidths kWidths[] = {{1, 1, 1}, {5, 17, 18}, {16, 16, 16}, {17, 0, 33}, {3, 33, 0}};

TEST(CudaFire, AgreesWithPlainLoopsInAnyTiles) {
  uint32_t seed = 0;
  for (const FireWidths& widths : kWidths) {
    for (int extent : {1, 8, 13}) {
      for (const auto& [tile_height, tile_width] :
           {std::pair<int, int>{1, 1}, {8, 16}, {3, 5}, {13, 9}, {2, 62}}) {
        if (extent > 8 && tile_height == 1) continue;  // a block of threads a pixel
        ++seed;
        check_fire(emulated_kernels(), widths, extent, extent + 2,
                   tiles(extent, extent + 2, tile_height, tile_width), false, 1 + static_cast<int>(seed % 3),
                   0.7, seed);
      }
    }
  }
}

TEST(CudaFire, AgreesWithPlainLoopsWhenPooled) {
  uint32_t seed = 100;
  for (const FireWidths& widths : kWidths) {
    for (int extent : {3, 4, 14, 15}) {
      for (const auto& [tile_height, tile_width] : {std::pair<int, int>{3, 7}, {5, 5}, {1, 20}}) {
        ++seed;
        check_fire(emulated_kernels(), widths, extent, extent + 3,
                   tiles((extent + 1) / 2, (extent + 4) / 2, tile_height, tile_width), true,
                   1 + static_cast<int>(seed % 3), 0.7, seed);
      }
    }
  }
}

TEST(CudaFire, AgreesWithPlainLoopsAtAnyDensity) {
  uint32_t seed = 200;
  for (double density : {0.0, 0.02, 0.1, 0.5, 1.0}) {
    for (bool pooled : {false, true}) {
      const Tiling tiling = *choose_tiling(pooled ? 6 : 12, pooled ? 5 : 11, pooled, 4 * 24);
      check_fire(emulated_kernels(), {24, 20, 36}, 12, 11, tiling, pooled, 2, density, ++seed);
    }
  }
}

// Sums of 0 to 32, and of several times 32 products.
TEST(CudaFire, AgreesWithPlainLoopsInHalfPrecision) {
  uint32_t seed = 300;
  for (double density : {0.0, 0.05, 0.8, 1.0}) {
    for (bool pooled : {false, true}) {
      const Tiling tiling = pooled ? tiles(7, 6, 3, 6) : tiles(13, 11, 8, 11);
      check_fire(emulated_half_kernels(), {9, 17, 18}, 13, 11, tiling, pooled, 2, density, ++seed);
    }
  }
  const auto large = choose_tiling(13, 13, false, 2 * 64);
  check_fire(emulated_half_kernels(), {64, 16, 16}, 13, 13, *large, false, 1, 1.0, ++seed);
}

}  // namespace
}  // namespace squish::cuda
