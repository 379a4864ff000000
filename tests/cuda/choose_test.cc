#include "cuda/choose.h"

#include <gtest/gtest.h>

#include <vector>

#include "cuda/kernel_table.h"
#include "model/graph.h"
#include "support/net_builder.h"
#include "support/tilings.h"

namespace squish::cuda {
namespace {

using testing::expect_covers;
using testing::kExtents;

TEST(ChooseTiling, CoversTheOutputWithTilesThatFit) {
  for (int height : kExtents) {
    for (int width : kExtents) {
      for (bool pooled : {false, true}) {
        for (int squeeze : {0, 4, 32, 64, 256, 800}) {
          const auto tiling = choose_tiling(height, width, pooled, squeeze);
          ASSERT_TRUE(tiling) << height << "x" << width;
          expect_covers(*tiling, height, width);
          const int tile_height = pooled ? 2 * tiling->height + 1 : tiling->height,
                    tile_width = pooled ? 2 * tiling->width + 1 : tiling->width;
          EXPECT_LE(tile_height * tile_width, kMaxTilePixels);
          if (squeeze == 0) continue;
          EXPECT_LE((tile_height + 2) * (tile_width + 2), kMaxHaloPixels);
          EXPECT_LE(
              squeezed_bytes(squeeze, *tiling, pooled) + kStageBytes + (pooled ? kPooledPixelsBytes : 0),
              48 << 10);
        }
      }
    }
  }
}

TEST(PooledTilings, CoverTheOutputWithTilesThatFit) {
  for (int height : kExtents) {
    const std::vector<Tiling> all = pooled_tilings({2 * height + 1, 15, height, 7, true, 1, 132});
    ASSERT_FALSE(all.empty());
    for (const Tiling& tiling : all) {
      expect_covers(tiling, height, 7);
      EXPECT_LE((2 * tiling.height + 1) * (2 * tiling.width + 1), kMaxTilePixels);
    }
  }
}

TEST(ChooseTiling, TakesAsFewTilesAsThereCanBe) {
  const auto tiling = choose_tiling(13, 13, false, 4 * 48);
  EXPECT_EQ(tiling->rows * tiling->columns, 2);
  EXPECT_EQ(choose_tiling(11, 11, false, 4 * 16)->rows, 1);
  EXPECT_FALSE(choose_tiling(1, 1, false, 4 * 2000)) << "9 pixels of a squeeze of 2000 channels";
}

// A Fire of SqueezeNet 1.1, on 132 multiprocessors.
FireChoice choice(int extent, int64_t images) {
  testing::NetBuilder net(1, 64);
  net.fire(-1, {16, 64, 64});
  const auto& convs = net.net().layers[0].convs;
  const Workload work{extent, extent, extent, extent, false, images, 132};
  return choose_fire(work, 4 * 16, pack({&convs[0]}), pack({&convs[1], &convs[2]}));
}

TEST(ChooseFire, SplitsTheExpandsWhereTilesAreFew) {
  EXPECT_GT(choice(13, 1).splits, 1);
  EXPECT_EQ(choice(112, 256).splits, 1) << "tiles enough for every multiprocessor";
}

TEST(FireCandidates, HaveTheModelsTilesAmongThemAndFit) {
  testing::NetBuilder net(1, 64);
  net.fire(-1, {16, 64, 64});
  const auto& convs = net.net().layers[0].convs;
  const PackedConvs squeeze = pack({&convs[0]}), expands = pack({&convs[1], &convs[2]});
  for (int extent : kExtents) {
    const Workload work{extent, extent, extent, extent, false, 1, 132};
    const FireChoice modelled = choose_fire(work, 4 * 16, squeeze, expands);
    bool found = false;
    for (const FireChoice& fire : fire_candidates(work, 4 * 16, squeeze, expands)) {
      expect_covers(fire.tiling, extent, extent);
      EXPECT_LE((fire.tiling.height + 2) * (fire.tiling.width + 2), kMaxHaloPixels);
      EXPECT_LE(squeezed_bytes(4 * 16, fire.tiling, false) + kStageBytes, 48 << 10);
      EXPECT_LE(fire.splits, static_cast<int>(expands.blocks.size()));
      found |= fire.tiling == modelled.tiling;
    }
    EXPECT_TRUE(found) << extent;
  }
  EXPECT_TRUE(fire_candidates({1, 1, 1, 1, false, 1, 132}, 4 * 2000, squeeze, expands).empty());
}

TEST(ChooseFire, SaysWhatBothWaysCost) {
  for (int extent : kExtents) {
    for (int64_t images : {1, 8, 256}) {
      const FireChoice fire = choice(extent, images);
      EXPECT_GT(fire.steps_whole, 0);
      EXPECT_EQ(fire.whole, fire.steps_whole < fire.steps_apart) << extent << ", " << images;
    }
  }
}

TEST(ChoosePixels, PairsThemOnlyWhereTheDeviceStaysFull) {
  EXPECT_EQ(choose_pixels({13, 13, 13, 13, false, 1, 132}, 4), 1);
  EXPECT_EQ(choose_pixels({112, 112, 112, 112, false, 64, 132}, 4), 2);
}

}  // namespace
}  // namespace squish::cuda
