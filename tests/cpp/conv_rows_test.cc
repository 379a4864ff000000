#include "cpu/conv_rows.h"

#include <gtest/gtest.h>

#include <vector>

namespace squish {
namespace {

BlockGroup group_of(ptrdiff_t columns, int blocks) {
  BlockGroup group;
  group.blocks = blocks;
  group.columns = columns;
  return group;
}

// Whatever the shares are, each row of each group is somebody's, once.
void check_shares(const std::vector<BlockGroup>& groups, int rows, int count) {
  std::vector<std::vector<int>> computed(groups.size(), std::vector<int>(static_cast<size_t>(rows)));
  for (int share = 0; share < count; ++share) {
    for_each_group_band(groups, rows, {share, count}, [&](const BlockGroup& group, Range band) {
      const auto g = static_cast<size_t>(&group - groups.data());
      for (int row = band.begin; row < band.end; ++row) ++computed[g][static_cast<size_t>(row)];
    });
  }
  for (const std::vector<int>& of_group : computed)
    EXPECT_EQ(of_group, std::vector<int>(static_cast<size_t>(rows), 1))
        << rows << " rows, " << count << " shares";
}

TEST(ConvRows, SharesCoverEachRowOnce) {
  const std::vector<BlockGroup> groups{group_of(9, 2), group_of(0, 1), group_of(500, 1), group_of(1, 2)};
  for (int rows : {1, 2, 7, 56}) {
    for (int count : {1, 2, 3, 16}) check_shares(groups, rows, count);
  }
}

// More multiply-adds than 32 bits count.
TEST(ConvRows, SharesCoverTallImages) {
  for (int rows : {8000, 8400, 20000}) {
    for (int count : {1, 3}) check_shares({group_of(260100, 1), group_of(260100, 2)}, rows, count);
  }
}

}  // namespace
}  // namespace squish
