// The order of integers' weights, against what integer_kernels.h says of it.
#include "cpu/integer_pack.h"

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

constexpr int kGroupOfOne = 1, kGroupOfTwo = 2;

ConvStyle style(double density) { return {true, density, true, WeightType::kI8}; }

// Kernels that take groups and columns like this; their clusters are in memory as they are in files.
IntegerKernels kernels(int max_group, bool column_pairs) {
  IntegerKernels kernels = kScalarIntegers;
  kernels.max_group = max_group;
  kernels.column_pairs = column_pairs;
  return kernels;
}

// An op of one net, packed: the last, which reads channels in blocks.
struct Packed {
  Packed(NetBuilder& net, int input_block, const IntegerKernels& kernels)
      : graph(net.net()),
        ops(fuse(graph)),
        block(input_block),
        conv(pack_integers(op(), layout(), {}, kernels)) {}

  const Op& op() const { return ops.back(); }
  // An image's is wider than any window.
  Layout layout() const { return {{op().convs[0]->in_channels}, 11, 13, {1, 1, 1, 1}, block}; }

  Graph graph;
  std::vector<Op> ops;
  int block;
  PackedIntegerConv conv;
};

// Output channel within all blocks, input channel, row and column seen from the output pixel.
using Place = std::tuple<int, int, int, int>;
using Weights = std::map<Place, int>;

Weights weights_of(const Op& op) {
  Weights weights;
  int first_block = 0;
  for (const ConvDescription* conv : op.convs) {
    for_each_integer_weight(*conv, [&](const IntegerWeight& w) {
      const int output = first_block * kChannelBlock + w.o;
      if (w.value != 0)
        weights[{output, w.i, w.y - conv->window.pad_top, w.x - conv->window.pad_left}] = w.value;
    });
    first_block += blocks_of(conv->out_channels);
  }
  return weights;
}

// Columns without a weight must not be there: they would cost time.
Weights unpack(const PackedIntegerConv& packed) {
  Weights weights;
  for (const BlockGroup& group : packed.groups) {
    const auto* value = reinterpret_cast<const int8_t*>(packed.weights.data()) + group.weights_at;
    for (int64_t k = 0; k < group.columns; ++k) {
      const QuadColumn& column = packed.columns[static_cast<size_t>(group.columns_at + k)];
      for (int b = 0; b < group.blocks; ++b) {
        bool lives = false;
        for (int w = 0; w < kClusterOutputs * kClusterInputs; ++w, ++value) {
          const int output = (group.first_block + b) * kChannelBlock + w / kClusterInputs;
          if (*value == 0) continue;
          lives = true;
          const Place place{output, column.quad * kQuadBlock + w % kClusterInputs, column.dy, column.dx};
          EXPECT_TRUE(weights.emplace(place, *value).second) << "twice";
        }
        EXPECT_TRUE(lives) << "a dead cluster is packed";
      }
    }
  }
  return weights;
}

TEST(IntegerPack, EveryWeightIsThereOnce) {
  for (double density : {0.0, 0.05, 0.3, 1.0}) {
    for (int max_group : {kGroupOfOne, kGroupOfTwo}) {
      for (bool column_pairs : {false, true}) {
        NetBuilder fire(1, 3), conv(2, 3);
        fire.fire(fire.conv(-1, 21, square(1), style(1)), {23, 37, 20}, style(density));
        conv.conv(-1, 50, {5, 3, 2, 1, 2, 0, 1, 2}, style(density));
        const Packed of_blocks(fire, kChannelBlock, kernels(max_group, column_pairs));
        const Packed of_quads(conv, kQuadBlock, kernels(max_group, column_pairs));
        EXPECT_EQ(unpack(of_blocks.conv), weights_of(of_blocks.op()));
        EXPECT_EQ(unpack(of_quads.conv), weights_of(of_quads.op()));
      }
    }
  }
}

// Pairs of a group's columns, from the first on, that lie side by side.
std::vector<int> leading_pairs(const Packed& packed) {
  const std::vector<int32_t> offsets = column_offsets(packed.conv, packed.layout());
  std::vector<int> counts;
  for (const BlockGroup& group : packed.conv.groups) {
    const int32_t* offset = offsets.data() + group.columns_at;
    int pairs = 0;
    while (2 * pairs + 1 < group.columns && offset[2 * pairs + 1] == offset[2 * pairs] + kClusterInputs)
      ++pairs;
    counts.push_back(pairs);
  }
  return counts;
}

TEST(IntegerPack, ColumnsThatLieSideBySideComeFirst) {
  const IntegerKernels in_pairs = kernels(kGroupOfOne, true);
  NetBuilder dense(1, 3);  // 5 quads: two pairs in a block and one alone in the next, at 9 positions
  dense.conv(dense.conv(-1, 20, square(1), style(1)), 32, square(3, 1, 1), style(1));
  EXPECT_EQ(leading_pairs(Packed(dense, kChannelBlock, in_pairs)), (std::vector<int>{18, 18}));
  NetBuilder image(2, 3);  // a pair and one alone in each of three rows
  image.conv(-1, 16, square(3), style(1));
  EXPECT_EQ(leading_pairs(Packed(image, kQuadBlock, in_pairs)), (std::vector<int>{3}));
  NetBuilder strided(3, 3);
  strided.conv(-1, 16, {1, 4, 1, 2, 0, 0, 0, 0}, style(1));
  EXPECT_EQ(leading_pairs(Packed(strided, kQuadBlock, in_pairs)), (std::vector<int>{2}));
}

TEST(IntegerPack, BlocksWithTheSameClustersArePaired) {
  const auto group_sizes = [](const Packed& packed) {
    std::vector<int> sizes;
    for (const BlockGroup& group : packed.conv.groups) sizes.push_back(group.blocks);
    return sizes;
  };
  NetBuilder dense(4, 3), sparse(4, 3);
  dense.conv(-1, 40, square(1), style(1));
  sparse.conv(-1, 40, square(5), style(0.3));
  EXPECT_EQ(group_sizes(Packed(dense, kQuadBlock, kernels(kGroupOfTwo, false))), (std::vector<int>{2, 1}));
  EXPECT_EQ(group_sizes(Packed(dense, kQuadBlock, kernels(kGroupOfOne, false))), (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(group_sizes(Packed(sparse, kQuadBlock, kernels(kGroupOfTwo, false))),
            (std::vector<int>{1, 1, 1}));
}

}  // namespace
}  // namespace squish
