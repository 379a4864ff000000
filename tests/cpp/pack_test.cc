#include "cpu/pack.h"

#include <gtest/gtest.h>

#include <map>
#include <tuple>
#include <vector>

#include "format/weights.h"
#include "support/net_builder.h"

namespace squish {
namespace {

using testing::ConvStyle;
using testing::NetBuilder;
using testing::square;

constexpr PackOptions kDirect{1, false}, kDirectPairs{2, false}, kTiles{1, true}, kTilePairs{2, true};

ConvStyle style(double density, bool clusters_die) {
  ConvStyle style;
  style.density = density;
  style.clusters_die = clusters_die;
  return style;
}

// An op of one net, packed: the last, which reads the layer before it.
struct Packed {
  Packed(NetBuilder& net, const PackOptions& options)
      : graph(net.net()), ops(fuse(graph)), conv(pack(ops.back(), options)) {}
  const Op& op() const { return ops.back(); }

  Graph graph;
  std::vector<Op> ops;
  PackedConv conv;
};

// Output channel within all blocks, input channel, row and column seen from the output pixel.
using Place = std::tuple<int, int, int, int>;
using Weights = std::map<Place, float>;

Weights weights_of(const Op& op) {
  Weights weights;
  int first_block = 0;
  for (const ConvDescription* conv : op.convs) {
    for_each_weight(*conv, [&](const Weight& w) {
      const int output = first_block * kChannelBlock + w.o;
      if (w.value != 0)
        weights[{output, w.i, w.y - conv->window.pad_top, w.x - conv->window.pad_left}] = w.value;
    });
    first_block += blocks_of(conv->out_channels);
  }
  return weights;
}

// Columns without a weight must not be there: they would cost time.
Weights unpack_direct(const PackedConv& packed) {
  Weights weights;
  for (const BlockGroup& group : packed.direct_groups) {
    const float* value = packed.weights.data() + group.weights_at;
    for (int64_t k = 0; k < group.columns; ++k) {
      const Column& column = packed.columns[static_cast<size_t>(group.columns_at + k)];
      for (int b = 0; b < group.blocks; ++b) {
        bool lives = false;
        for (int lane = 0; lane < kChannelBlock; ++lane, ++value) {
          const int output = (group.first_block + b) * kChannelBlock + lane;
          if (*value == 0) continue;
          lives = true;
          EXPECT_TRUE(weights.emplace(Place{output, column.channel, column.dy, column.dx}, *value).second);
        }
        EXPECT_TRUE(lives) << "a dead cluster is packed";
      }
    }
  }
  return weights;
}

TEST(Pack, EveryWeightIsThereOnce) {
  for (double density : {0.0, 0.05, 0.3, 1.0}) {
    for (bool clusters_die : {false, true}) {
      for (const PackOptions& options : {kDirect, kDirectPairs}) {
        NetBuilder fire(1, 3), conv(2, 3);
        fire.fire(fire.conv(-1, 21, square(1)), {18, 37, 20}, style(density, clusters_die));
        conv.conv(-1, 50, {5, 3, 2, 1, 2, 0, 1, 2}, style(density, clusters_die));
        const Packed fire_packed(fire, options), conv_packed(conv, options);
        EXPECT_EQ(unpack_direct(fire_packed.conv), weights_of(fire_packed.op()));
        EXPECT_EQ(unpack_direct(conv_packed.conv), weights_of(conv_packed.op()));
      }
    }
  }
}

// However a zero is stored, it costs nothing.
TEST(Pack, StoredZerosAreDead) {
  ConvStyle dense = style(0.2, true);
  dense.encoding = EncodingChoice::kDense;
  NetBuilder stored(3, 3), left_out(3, 3);
  stored.conv(-1, 40, square(3), dense);
  left_out.conv(-1, 40, square(3), style(0.2, true));
  const Packed a(stored, kDirect), b(left_out, kDirect);
  EXPECT_GT(a.op().convs[0]->payload_bytes(), b.op().convs[0]->payload_bytes());
  EXPECT_EQ(a.conv.columns, b.conv.columns);
  EXPECT_LT(a.conv.columns.size(), 3u * 27u);
}

std::vector<int> group_sizes(const std::vector<BlockGroup>& groups) {
  std::vector<int> sizes;
  for (const BlockGroup& group : groups) sizes.push_back(group.blocks);
  return sizes;
}

TEST(Pack, BlocksWithTheSameClustersArePaired) {
  NetBuilder dense(4, 3), sparse(4, 3);
  dense.conv(-1, 70, square(1));
  sparse.conv(-1, 70, square(3), style(0.5, true));
  EXPECT_EQ(group_sizes(Packed(dense, kDirectPairs).conv.direct_groups), (std::vector<int>{2, 2, 1}));
  EXPECT_EQ(group_sizes(Packed(dense, kDirect).conv.direct_groups), (std::vector<int>{1, 1, 1, 1, 1}));
  EXPECT_EQ(group_sizes(Packed(sparse, kDirectPairs).conv.direct_groups), (std::vector<int>{1, 1, 1, 1, 1}));
}

TEST(Pack, GroupsCoverAllBlocksInOrder) {
  for (const PackOptions& options : {kDirect, kDirectPairs, kTiles, kTilePairs}) {
    NetBuilder net(5, 3);
    net.fire(net.conv(-1, 8, square(1)), {32, 37, 70});
    const Packed packed(net, options);
    std::vector<bool> covered(3 + 5);
    for (const auto* groups : {&packed.conv.direct_groups, &packed.conv.winograd_groups}) {
      for (const BlockGroup& group : *groups) {
        for (int b = 0; b < group.blocks; ++b) {
          EXPECT_FALSE(covered.at(static_cast<size_t>(group.first_block + b)));
          covered[static_cast<size_t>(group.first_block + b)] = true;
        }
      }
    }
    EXPECT_EQ(covered, std::vector<bool>(8, true));
    EXPECT_EQ(packed.conv.blocks, 8);
  }
}

TEST(Pack, OnlyDense3x3BlocksTakeTiles) {
  NetBuilder dense(6, 3), sparse(6, 3), of_input(6, 3), strided(6, 3), averaged(6, 3);
  dense.fire(dense.conv(-1, 8, square(1)), {32, 16, 48});
  sparse.fire(sparse.conv(-1, 8, square(1)), {32, 16, 48}, style(0.2, true));
  of_input.conv(-1, 48, square(3, 1, 1));
  strided.conv(strided.conv(-1, 32, square(1)), 48, square(3, 2, 1));
  averaged.global_average_pool(averaged.conv(averaged.conv(-1, 32, square(1)), 48, square(3, 1, 1)));
  EXPECT_EQ(group_sizes(Packed(dense, kTilePairs).conv.winograd_groups), (std::vector<int>{2, 1}));
  EXPECT_EQ(Packed(dense, kTiles).conv.direct_groups.size(), 1u) << "the expand 1x1";
  EXPECT_TRUE(Packed(dense, kDirect).conv.winograd_groups.empty()) << "switched off";
  EXPECT_TRUE(Packed(sparse, kTiles).conv.winograd_groups.empty());
  EXPECT_TRUE(Packed(of_input, kTiles).conv.winograd_groups.empty()) << "may be planar";
  EXPECT_TRUE(Packed(strided, kTiles).conv.winograd_groups.empty());
  EXPECT_TRUE(Packed(averaged, kTiles).conv.winograd_groups.empty());
}

TEST(Pack, BiasIsPaddedToBlocks) {
  NetBuilder net(7, 3);
  net.fire(net.conv(-1, 8, square(1)), {4, 5, 18});
  const Packed packed(net, kDirect);
  ASSERT_EQ(packed.conv.bias.size(), 3u * kChannelBlock);
  std::vector<float> wanted(packed.conv.bias.size());
  const auto first = decode_bias(*packed.op().convs[0]), second = decode_bias(*packed.op().convs[1]);
  std::copy(first.begin(), first.end(), wanted.begin());
  std::copy(second.begin(), second.end(), wanted.begin() + kChannelBlock);
  EXPECT_EQ(std::vector<float>(packed.conv.bias.data(), packed.conv.bias.data() + wanted.size()), wanted);
}

TEST(Pack, CountsWhatLives) {
  NetBuilder net(8, 3);
  net.conv(-1, 37, square(3), style(0.1, false));
  const Packed packed(net, kDirect);
  EXPECT_EQ(packed.conv.census.all_weights, 37 * 3 * 9);
  EXPECT_EQ(packed.conv.census.live_weights, static_cast<int64_t>(weights_of(packed.op()).size()));
  EXPECT_EQ(packed.conv.census.all_clusters, 3 * 3 * 9);
  EXPECT_EQ(packed.conv.census.live_clusters, static_cast<int64_t>(packed.conv.columns.size()));
}

TEST(Pack, OffsetsPointAtTheActivations) {
  NetBuilder net(9, 3);
  net.conv(net.fire(-1, {4, 17, 20}), 16, square(3, 1, 1), style(0.3, true));
  const Packed packed(net, kDirect);
  const Layout layout{{17, 20}, 6, 9, {1, 2, 1, 3}, kChannelBlock};
  const auto offsets = column_offsets(packed.conv, layout, 0);
  ASSERT_EQ(offsets.size(), packed.conv.columns.size());
  for (size_t k = 0; k < offsets.size(); ++k) {
    const Column& column = packed.conv.columns[k];
    EXPECT_EQ(offsets[k], layout.channel_offset(column.channel) + column.dy * layout.row_values() +
                              column.dx * kChannelBlock);
  }
}

TEST(Pack, OffsetsInTilesSkipWholeBlocksOfTiles) {
  NetBuilder net(10, 3);
  net.conv(net.fire(-1, {4, 17, 20}), 16, square(3, 1, 1));
  const Packed packed(net, kTiles);
  ASSERT_EQ(packed.conv.winograd_groups.size(), 1u);
  constexpr int kBandTiles = 21;
  const auto offsets = column_offsets(packed.conv, {{17, 20}, 6, 9, {1, 1, 2, 2}, kChannelBlock}, kBandTiles);
  ASSERT_EQ(offsets.size(), 37u);
  for (int c = 0; c < 37; ++c) {
    const int block = c < 17 ? c / 16 : 2 + (c - 17) / 16, lane = c < 17 ? c % 16 : (c - 17) % 16;
    EXPECT_EQ(offsets[static_cast<size_t>(c)], (block * kBandTiles * 16) + lane) << "channel " << c;
  }
}

}  // namespace
}  // namespace squish
