// The order of the weights, against the specification's own words: sorted by a key for each encoding.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "format/weights.h"
#include "format/write.h"

namespace squish {
namespace {

struct Size {
  int out, in, height, width;
};

// Relative to the cluster of 16 x 4: below, equal, above, multiple.
constexpr Size kSizes[] = {{1, 1, 1, 1},  {3, 2, 1, 1},  {16, 4, 1, 1}, {17, 5, 1, 1},  {15, 3, 3, 3},
                           {16, 4, 3, 3}, {33, 9, 3, 3}, {32, 8, 1, 3}, {48, 12, 2, 2}, {5, 17, 7, 7}};

constexpr EncodingChoice kChoices[] = {EncodingChoice::kDense, EncodingChoice::kCluster16x1,
                                       EncodingChoice::kCluster16x4, EncodingChoice::kSynapse};

using Key = std::array<int, 6>;

Key key(EncodingChoice encoding, const Weight& w) {
  switch (encoding) {
    case EncodingChoice::kCluster16x1:
      return {w.o / 16, w.y, w.x, w.i, w.o, 0};
    case EncodingChoice::kCluster16x4:
      return {w.o / 16, w.y, w.x, w.i / 4, w.o, w.i};
    default:
      return {w.o, w.i, w.y, w.x, 0, 0};
  }
}

// Each weight's value says where it stands: its index in O, I, H, W plus 1. All alive unless `lives` says no.
template <typename Lives>
ConvSource numbered(const Size& size, EncodingChoice encoding, Lives&& lives) {
  ConvSource source;
  source.out_channels = size.out;
  source.in_channels = size.in;
  source.window.kernel_h = size.height;
  source.window.kernel_w = size.width;
  source.encoding = encoding;
  const int count = size.out * size.in * size.height * size.width;
  for (int k = 0; k < count; ++k) source.weight.push_back(lives(k) ? static_cast<float>(k + 1) : 0.0f);
  return source;
}

int index_of(const Size& size, const Weight& w) {
  return ((w.o * size.in + w.i) * size.height + w.y) * size.width + w.x;
}

TEST(WeightOrder, IsTheSpecificationsAndReachesEveryWeightOnce) {
  for (const Size& size : kSizes) {
    for (EncodingChoice encoding : kChoices) {
      const EncodedConv conv = encode(numbered(size, encoding, [](int) { return true; }));
      std::vector<Key> keys;
      for_each_weight(conv.description, [&](const Weight& w) {
        EXPECT_EQ(w.value, static_cast<float>(index_of(size, w) + 1));
        keys.push_back(key(encoding, w));
      });
      EXPECT_EQ(static_cast<int64_t>(keys.size()), conv.description.weight_count());
      EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
      EXPECT_EQ(std::adjacent_find(keys.begin(), keys.end()), keys.end());
    }
  }
}

TEST(WeightOrder, SparseEncodingsStoreTheClustersThatLive) {
  const auto lives = [](int k) { return k % 37 == 5 || k % 101 == 0; };
  for (const Size& size : kSizes) {
    const int count = size.out * size.in * size.height * size.width;
    for (EncodingChoice encoding : kChoices) {
      const EncodedConv conv = encode(numbered(size, encoding, lives));
      std::vector<float> want(static_cast<size_t>(count));
      for (int k = 0; k < count; ++k) want[static_cast<size_t>(k)] = lives(k) ? static_cast<float>(k + 1) : 0;
      EXPECT_EQ(decode_dense(conv.description), want);
      if (encoding == EncodingChoice::kSynapse) {
        EXPECT_EQ(stored_weights(conv.description), count_live_weights(conv.description));
      }
    }
  }
}

// Counted from the dense weights, whatever the encoding.
TEST(WeightCounts, DoNotDependOnTheEncoding) {
  const auto lives = [](int k) { return k % 53 == 7; };
  for (const Size& size : kSizes) {
    std::vector<Key> clusters, live_clusters;
    int64_t live = 0;
    for (int k = 0; k < size.out * size.in * size.height * size.width; ++k) {
      const int x = k % size.width, y = k / size.width % size.height,
                i = k / (size.width * size.height) % size.in;
      const int o = k / (size.width * size.height * size.in);
      clusters.push_back({o / 16, y, x, i});
      if (!lives(k)) continue;
      live_clusters.push_back(clusters.back());
      ++live;
    }
    const auto distinct = [](std::vector<Key>& keys) {
      std::sort(keys.begin(), keys.end());
      keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
      return static_cast<int64_t>(keys.size());
    };
    for (EncodingChoice encoding : kChoices) {
      const EncodedConv conv = encode(numbered(size, encoding, lives));
      EXPECT_EQ(count_live_weights(conv.description), live);
      EXPECT_EQ(count_live_clusters(conv.description), distinct(live_clusters));
      EXPECT_EQ(count_clusters(conv.description), distinct(clusters));
    }
  }
}

TEST(WeightOrder, OfAClusterAtTheEdgeByHand) {
  // 17 x 5 of 1x1: the second cluster of the second block row is one output by one input.
  ConvSource source = numbered({17, 5, 1, 1}, EncodingChoice::kCluster16x4, [](int k) { return k == 84; });
  const EncodedConv conv = encode(source);
  ASSERT_EQ(conv.description.occupancy.size, 1u);
  EXPECT_EQ(conv.description.occupancy.data[0], 1u << 3);  // block rows 0, 1 x groups 0, 1: the last of four
  EXPECT_EQ(conv.description.values.size, sizeof(float));
  const size_t payload = 17 * 4 + 4 + 4;  // bias, occupancy with padding, one value
  EXPECT_EQ(conv.payload.size(), payload);
}

}  // namespace
}  // namespace squish
