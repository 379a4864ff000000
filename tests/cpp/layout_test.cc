#include "plan/layout.h"

#include <gtest/gtest.h>

#include <set>

namespace squish {
namespace {

const Border kBorder = {1, 2, 3, 4};

TEST(Layout, BlocksRoundUp) {
  EXPECT_EQ(blocks_of(0), 0);
  EXPECT_EQ(blocks_of(1), 1);
  EXPECT_EQ(blocks_of(16), 1);
  EXPECT_EQ(blocks_of(17), 2);
}

TEST(Layout, SegmentsBeginWithABlock) {
  const Layout layout{{17, 3}, 5, 7, kBorder, kChannelBlock};
  EXPECT_EQ(layout.channels(), 20);
  EXPECT_EQ(layout.blocks(), 3);
  EXPECT_EQ(layout.channel_offset(0), 0);
  EXPECT_EQ(layout.channel_offset(15), 15);
  EXPECT_EQ(layout.channel_offset(16), layout.block_values());
  EXPECT_EQ(layout.channel_offset(17), 2 * layout.block_values()) << "the second segment's first channel";
  EXPECT_EQ(layout.channel_offset(19), 2 * layout.block_values() + 2);
}

TEST(Layout, SizesCountTheBorder) {
  const Layout blocked{{17, 3}, 5, 7, kBorder, kChannelBlock}, planar{{3}, 5, 7, kBorder, kPlaneBlock};
  EXPECT_EQ(blocked.row_values(), (2 + 7 + 4) * 16);
  EXPECT_EQ(blocked.values(), 3 * (1 + 5 + 3) * (2 + 7 + 4) * 16);
  EXPECT_EQ(planar.row_values(), 2 + 7 + 4);
  EXPECT_EQ(planar.values(), 3 * (1 + 5 + 3) * (2 + 7 + 4));
}

// Every value of the image and its border has a place of its own within the buffer.
void expect_one_place_each(const Layout& layout) {
  const Border& border = layout.border;
  std::set<int64_t> places;
  for (int c = 0; c < layout.channels(); ++c) {
    for (int y = -border.top; y < layout.height + border.bottom; ++y) {
      for (int x = -border.left; x < layout.width + border.right; ++x) {
        const int64_t place =
            layout.origin() + layout.channel_offset(c) + y * layout.row_values() + x * layout.channel_step();
        EXPECT_GE(place, 0);
        EXPECT_LT(place, layout.values());
        EXPECT_TRUE(places.insert(place).second) << "channel " << c << " at " << y << ", " << x;
      }
    }
  }
}

TEST(Layout, ValuesHaveAPlaceEach) {
  expect_one_place_each({{40}, 5, 7, kBorder, kChannelBlock});
  expect_one_place_each({{17, 3}, 5, 7, kBorder, kChannelBlock});
  expect_one_place_each({{16, 16}, 1, 1, {}, kChannelBlock});
  expect_one_place_each({{3}, 5, 7, kBorder, kPlaneBlock});
  expect_one_place_each({{3}, 5, 7, kBorder, kQuadBlock});
}

TEST(Layout, SameChannelsMeansSameBlocks) {
  const Layout a{{17, 3}, 5, 7, kBorder, kChannelBlock};
  EXPECT_TRUE(a.same_channels({{17, 3}, 5, 7, {}, kChannelBlock})) << "whatever the border";
  EXPECT_FALSE(a.same_channels({{3, 17}, 5, 7, kBorder, kChannelBlock}));
  EXPECT_FALSE(a.same_channels({{20}, 5, 7, kBorder, kChannelBlock}));
  EXPECT_FALSE(a.same_channels({{17, 3}, 5, 7, kBorder, kPlaneBlock}));
}

}  // namespace
}  // namespace squish
