#include "cuda/choose_mma.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "cuda/divider.h"
#include "cuda/kernel_table.h"
#include "cuda/kernels/bundles.cuh"
#include "model/graph.h"
#include "support/mma_convs.h"
#include "support/net_builder.h"
#include "support/random.h"
#include "support/tilings.h"

namespace squish::cuda {
namespace {

using testing::expect_covers;
using testing::kExtents;

TEST(Divider, IsExactBelowTwoToThe31) {
  constexpr int kMost = std::numeric_limits<int>::max();
  testing::Random random(1);
  std::vector<int> divisors = {
      1, 2, 3, 5, 7, 127, 128, 129, 1 << 16, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, kMost};
  for (int k = 0; k < 1000; ++k) divisors.push_back(random.between(1, kMost >> random.between(0, 30)));
  for (int divisor : divisors) {
    const Divider by = divider(divisor);
    const auto check = [&](int64_t number) {
      if (number < 0 || number > kMost) return;
      ASSERT_EQ(divide(static_cast<uint32_t>(number), by), number / divisor) << number << " / " << divisor;
    };
    for (int64_t number : {0, divisor, kMost / divisor * divisor, kMost}) {
      for (int64_t beside : {-1, 0, 1}) check(number + beside);
    }
    for (int k = 0; k < 100; ++k) {
      const int number = random.between(0, kMost);
      check(number);
      check(number / divisor * int64_t{divisor} - 1);
      check(number / divisor * int64_t{divisor});
    }
  }
}

constexpr int64_t kManyImages[] = {1, 8, 256};
constexpr int kDevices[] = {1, 8, 132};  // multiprocessors

// Works of all kinds. body(work)
template <typename Body>
void for_many_works(const Body& body) {
  for (int height : kExtents) {
    for (int width : {1, 7, 13, 56, 113}) {
      for (int64_t images : kManyImages) {
        for (int multiprocessors : kDevices) {
          body(Workload{height, width, height, width, false, images, multiprocessors});
          if (height < 3 || width < 3) continue;
          const bool ceil_mode = images == 8;
          body(Workload{height, width, pool_extent(height, 3, 2, 0, 0, ceil_mode),
                        pool_extent(width, 3, 2, 0, 0, ceil_mode), true, images, multiprocessors});
        }
      }
    }
  }
}

std::string text(const Workload& work) {
  return std::to_string(work.height) + "x" + std::to_string(work.width) + (work.pooled ? " pooled, " : ", ") +
         std::to_string(work.images) + " images on " + std::to_string(work.multiprocessors) +
         " multiprocessors";
}

// Dense and sparse ones, of one step, of many and of none, whose blocks are paired and are not.
std::vector<PackedBundles> many_bundles() {
  std::vector<PackedBundles> many;
  const auto add = [&](int in_channels, int out_channels, const Window& window, double density) {
    testing::NetBuilder net(1, in_channels);
    net.conv(-1, out_channels, window, {true, density, true});
    const testing::ChannelOrder in{in_channels == 3 ? kQuad : kClusterChannels, {in_channels}};
    many.push_back(pack_bundles({&net.net().layers[0].convs[0]}, testing::packed_layout(in)));
  };
  add(3, 64, testing::square(3, 2), 1);
  add(40, 10, testing::square(1), 1);
  add(40, 33, testing::square(3, 1, 1), 0.1);
  add(64, 64, testing::square(3, 1, 1), 1);
  add(20, 20, testing::square(1), 0);
  return many;
}

void check_mma(const Workload& work, const PackedBundles& convs, const MmaChoice& choice) {
  EXPECT_TRUE(choice.tiles == 1 || choice.tiles == 2);
  EXPECT_GE(choice.warps, 1);
  EXPECT_LE(choice.warps, kMaxWarps);
  ASSERT_TRUE(choice.slices == 1 || choice.slices == 2 || choice.slices == 4 || choice.slices == 8);
  if (work.pooled) {
    EXPECT_EQ(choice.slices, 1);
    expect_covers(choice.tiling, work.out_height, work.out_width);
    EXPECT_LE(mma_kept_values(mma_pooled_pixels(choice.tiling), convs.width, 4) * 4, kMmaSharedBytes);
    return;
  }
  if (choice.slices == 1) return;
  EXPECT_EQ(choice.warps % choice.slices, 0) << "a group of warps would not be whole";
  EXPECT_LE(choice.slices, convs.most_steps) << "a slice would be empty";
  EXPECT_LE(mma_kept_values(int64_t{choice.warps} * choice.tiles * kTilePixels, convs.width, 4) * 4,
            kMmaSharedBytes);
}

TEST(ChooseMma, FitsTheDeviceAndTheWork) {
  for (const PackedBundles& convs : many_bundles()) {
    for_many_works([&](const Workload& work) {
      SCOPED_TRACE(text(work) + ", " + std::to_string(convs.most_steps) + " steps");
      check_mma(work, convs, choose_mma(work, convs));
    });
  }
}

TEST(MmaCandidates, HaveTheModelsTilesAndSlicesAmongThemAndFit) {
  for (const PackedBundles& convs : many_bundles()) {
    for_many_works([&](const Workload& work) {
      SCOPED_TRACE(text(work) + ", " + std::to_string(convs.most_steps) + " steps");
      const MmaChoice modelled = choose_mma(work, convs);
      bool found = false;
      for (const MmaChoice& choice : mma_candidates(work, convs)) {
        check_mma(work, convs, choice);
        found |= choice.tiles == modelled.tiles && choice.slices == modelled.slices;
      }
      EXPECT_TRUE(found);
    });
  }
}

TEST(ChooseMma, SlicesSumsOnlyWhereWarpsAreFew) {
  const std::vector<PackedBundles> many = many_bundles();
  const Workload few{13, 13, 13, 13, false, 1, 132}, enough{112, 112, 112, 112, false, 64, 132};
  EXPECT_GT(choose_mma(few, many[3]).slices, 1);
  EXPECT_EQ(choose_mma(enough, many[3]).slices, 1);
  EXPECT_EQ(choose_mma(enough, many[3]).tiles, 2) << "which share the weights they read";
  EXPECT_EQ(choose_mma(few, many[4]).slices, 1) << "there is nothing to add";
}

// A Fire's convolutions for tensor cores.
struct FireBundles {
  FireBundles(const testing::FireWidths& widths, double density) {
    testing::NetBuilder net(1, 64);
    net.fire(-1, widths, {true, density, true});
    const auto& convs = net.net().layers[0].convs;
    squeeze = pack_bundles({&convs[0]}, testing::packed_layout({kClusterChannels, {64}}));
    expands = pack_bundles({&convs[1], &convs[2]},
                           testing::packed_layout(testing::ChannelOrder{kClusterChannels, {widths.squeeze}}));
  }
  PackedBundles squeeze, expands;
};

void check_fire_tiles(const Workload& work, const FireBundles& fire, int bytes, const FireChoice& choice) {
  expect_covers(choice.tiling, work.out_height, work.out_width);
  EXPECT_LE(
      mma_fire_values(fire.squeeze.blocks, choice.tiling, work.pooled, fire.expands.width, bytes) * bytes,
      kMmaSharedBytes);
  EXPECT_GE(choice.splits, 1);
  EXPECT_LE(choice.splits, static_cast<int>(fire.expands.bundles.size()));
}

void check_fire_mma(const Workload& work, const FireBundles& fire, int bytes) {
  const FireChoice choice = choose_fire_mma(work, fire.squeeze, fire.expands, bytes);
  if (choice.tiling.rows == 0) {
    EXPECT_FALSE(choice.whole) << "there is no tile that fits";
    EXPECT_GT(
        mma_fire_values(fire.squeeze.blocks, {1, 1, 1, 1}, work.pooled, fire.expands.width, bytes) * bytes,
        kMmaSharedBytes);
    return;
  }
  if (choice.whole) {
    EXPECT_LT(choice.steps_whole, choice.steps_apart);
  }
  check_fire_tiles(work, fire, bytes, choice);
}

// body(work, fire, bytes of a value)
template <typename Body>
void for_many_fires(const Body& body) {
  for (const testing::FireWidths& widths :
       {testing::FireWidths{16, 64, 64}, {5, 17, 18}, {64, 0, 33}, {1400, 16, 16}}) {
    const FireBundles fire(widths, widths.squeeze > 64 ? 0.01 : 0.5);
    for_many_works([&](const Workload& work) {
      for (StorageType storage : {StorageType::kF32, StorageType::kF16}) {
        SCOPED_TRACE(text(work) + ", squeeze of " + std::to_string(widths.squeeze));
        body(work, fire, value_bytes(storage));
      }
    });
  }
}

TEST(ChooseFireMma, FitsTheDeviceAndTheWork) { for_many_fires(check_fire_mma); }

TEST(FireMmaCandidates, FitTheDeviceAndTheWork) {
  for_many_fires([](const Workload& work, const FireBundles& fire, int bytes) {
    const auto all = fire_mma_candidates(work, fire.squeeze, fire.expands, bytes);
    EXPECT_EQ(
        all.empty(),
        mma_fire_values(fire.squeeze.blocks, {1, 1, 1, 1}, work.pooled, fire.expands.width, bytes) * bytes >
            kMmaSharedBytes);
    for (const FireChoice& choice : all) check_fire_tiles(work, fire, bytes, choice);
  });
}

}  // namespace
}  // namespace squish::cuda
