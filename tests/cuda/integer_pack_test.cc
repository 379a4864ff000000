// The order of integers' weights for tensor cores, against what it says in integer_conv_mma.cuh and integer_pack.h.
#include "cuda/integer_pack.h"

#include <gtest/gtest.h>

#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "support/net_builder.h"

namespace squish::cuda {
namespace {

using testing::NetBuilder;
using testing::square;

constexpr testing::ConvStyle kDense{true, 1, true, WeightType::kI8},
    kSparse{true, 0.2, true, WeightType::kI8};

// Where a weight lies: block of output channels, channel of the block, quad, row and column of the window.
using Place = std::tuple<int, int, int, int, int>;
using Weights = std::map<Place, uint32_t>;

// Of a net's first Fire's expands, or its first convolution.
struct Case {
  explicit Case(NetBuilder of) : net(std::move(of)) {
    const LayerDescription& layer = net.net().layers[0];
    for (const ConvDescription& conv : layer.convs) {
      if (layer.convs.size() == 1 || &conv != &layer.convs[0]) convs.push_back(&conv);
    }
    packed = pack_integers(convs, Layout{{convs[0]->in_channels}, 1, 1, {}, kQuadBlock}, {});
  }
  Case(const Case&) = delete;
  Case& operator=(const Case&) = delete;

  // The clusters as the other kernels have them.
  Weights wanted() const {
    Weights weights;
    for (size_t b = 0; b < packed.blocks.size(); ++b) {
      const OutputBlock& block = packed.blocks[b];
      for (int64_t k = block.first_tap; k < block.first_tap + block.taps; ++k) {
        const QuadColumn& column = packed.columns[static_cast<size_t>(k)];
        for (int o = 0; o < kClusterChannels; ++o) {
          const uint32_t bits = packed.weights[static_cast<size_t>(k * kClusterChannels + o)].bits;
          if (bits != 0) weights[{static_cast<int>(b), o, column.quad, column.dy, column.dx}] = bits;
        }
      }
    }
    return weights;
  }

  NetBuilder net;
  std::vector<const ConvDescription*> convs;
  PackedIntegerConvs packed;
};

Weights unpacked(const PackedQuadBundles& packed) {
  Weights weights;
  const auto width = static_cast<size_t>(packed.width);
  for (const Bundle& bundle : packed.bundles) {
    for (int s = 0; s < bundle.steps; ++s) {
      const auto step = static_cast<size_t>(bundle.first_step + s);
      for (size_t n = 0; n < width; ++n) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
          const QuadColumn& column = packed.quads[step * kStepQuads + lane % kStepQuads];
          for (size_t i = 0; i < 2; ++i) {
            const uint32_t bits = packed.weights[((step * width + n) * kLanes + lane) * 2 + i].bits;
            if (bits == 0) continue;
            EXPECT_LT(static_cast<int>(n), bundle.blocks) << "of no block";
            const Place place{bundle.first_block + static_cast<int>(n),
                              static_cast<int>(lane / kStepQuads * 2 + i), column.quad, column.dy, column.dx};
            EXPECT_TRUE(weights.emplace(place, bits).second) << "twice";
          }
        }
      }
    }
  }
  return weights;
}

NetBuilder fire(const testing::ConvStyle& style) {
  NetBuilder net(1, 20);
  net.fire(-1, {19, 40, 33}, style);
  return net;
}

TEST(QuadBundles, HoldEveryLiveWeightOnce) {
  for (const auto& style : {kDense, kSparse}) {
    const Case one(fire(style));
    for (int width : {1, 2}) {
      const PackedQuadBundles packed = pack_quad_bundles(one.packed, width);
      EXPECT_EQ(packed.width, width);
      EXPECT_EQ(unpacked(packed), one.wanted());
      EXPECT_EQ(packed.live_quads, one.packed.taps());
      EXPECT_EQ(packed.quads.size(), static_cast<size_t>(packed.steps() * kStepQuads));
    }
  }
}

// 40 and 33 channels: three blocks each.
TEST(QuadBundles, AreOfOneConvolutionAndInOrder) {
  const Case one(fire(kDense));
  const PackedQuadBundles packed = pack_quad_bundles(one.packed, 2);
  std::vector<std::pair<int, int>> blocks;
  int steps = 0;
  for (const Bundle& bundle : packed.bundles) {
    blocks.emplace_back(bundle.first_block, bundle.blocks);
    EXPECT_EQ(bundle.first_step, steps);
    steps += bundle.steps;
    EXPECT_LE(bundle.steps, packed.most_steps);
  }
  EXPECT_EQ(blocks, (std::vector<std::pair<int, int>>{{0, 2}, {2, 1}, {3, 2}, {5, 1}}));
  EXPECT_EQ(packed.steps(), steps);
}

TEST(QuadBundles, TakeNoStepsForQuadsThatAreDead) {
  const Case dense(fire(kDense)), sparse(fire(kSparse));
  const PackedQuadBundles all = pack_quad_bundles(dense.packed, 1),
                          some = pack_quad_bundles(sparse.packed, 1);
  EXPECT_LT(some.steps(), all.steps());
  int64_t least = 0;
  for (const OutputBlock& block : sparse.packed.blocks) least += (block.taps + kStepQuads - 1) / kStepQuads;
  EXPECT_EQ(some.steps(), least);
}

TEST(QuadBundles, PairBlocksOnlyWhereTheyReadTheSame) {
  NetBuilder pairs(1, 20), net(1, 64);
  pairs.fire(-1, {19, 64, 32}, kDense);
  EXPECT_EQ(pack_quad_bundles(Case(std::move(pairs)).packed).width, 2);
  net.conv(-1, 64, square(3, 1, 1), {true, 0.02, true, WeightType::kI8});
  EXPECT_EQ(pack_quad_bundles(Case(std::move(net)).packed).width, 1);
}

}  // namespace
}  // namespace squish::cuda
