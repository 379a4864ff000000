// The order of weights and taps for tensor cores, against what it says in bundles.cuh and pack_bundles.h.
#include "cuda/pack_bundles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "format/weights.h"
#include "squish/error.h"
#include "support/mma_convs.h"
#include "support/net_builder.h"
#include "support/throws.h"

namespace squish::cuda {
namespace {

using testing::ChannelOrder;
using testing::FireWidths;
using testing::NetBuilder;
using testing::packed_layout;
using testing::square;
using testing::throws;

constexpr double kDensities[] = {1, 0.3, 0.05, 0};
constexpr size_t kOutputs = 2;  // channels of its block that a lane has weights for: 2 g and 2 g + 1

int channel_of(size_t lane, size_t output) { return static_cast<int>(lane / kStepQuads * kOutputs + output); }

// Among a lane's weights for one block, where that of an output and a channel of the quad lies: pair by pair of the quad.
size_t weight_at(size_t output, size_t i) { return i / 2 * 4 + output * 2 + i % 2; }

using Convs = std::vector<const ConvDescription*>;

// Where a weight of the file lies: convolution, output channel, input channel, row, column of the window.
using Place = std::tuple<size_t, int, int, int, int>;

// The places of the weights that are not zero, and those weights.
std::map<Place, float> live_weights(const Convs& convs) {
  std::map<Place, float> live;
  for (size_t c = 0; c < convs.size(); ++c) {
    for_each_weight(*convs[c], [&](const Weight& w) {
      if (w.value != 0) live[{c, w.o, w.i, w.y, w.x}] = w.value;
    });
  }
  return live;
}

// What is packed, read back.
class Unpacked {
 public:
  Unpacked(const PackedBundles& packed, const Convs& convs, const ChannelOrder& order)
      : packed_(packed), convs_(convs), order_(order) {
    for (const Bundle& bundle : packed.bundles) add(bundle);
  }

  std::map<Place, float> weights;
  int twice = 0, of_no_channel = 0;  // weights that are not zero

 private:
  void add(const Bundle& bundle) {
    const auto width = static_cast<size_t>(packed_.width);
    for (size_t step = 0; step < static_cast<size_t>(bundle.steps); ++step) {
      for (size_t n = 0; n < width; ++n) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
          const size_t at = static_cast<size_t>(bundle.first_step) + step;
          const Column& quad = packed_.quads[at * kStepQuads + lane % kStepQuads];
          const size_t first = ((at * width + n) * kLanes + lane) * kOutputs * kQuad;
          for (size_t output = 0; output < kOutputs; ++output) {
            for (size_t i = 0; i < kQuad; ++i) {
              const float weight = packed_.weights[first + weight_at(output, i)];
              if (weight != 0) add(bundle, n, channel_of(lane, output), quad, static_cast<int>(i), weight);
            }
          }
        }
      }
    }
  }

  void add(const Bundle& bundle, size_t n, int in_block, const Column& quad, int i, float weight) {
    int block = bundle.first_block + static_cast<int>(n), in_channel = 0;
    size_t c = 0;
    while (c < convs_.size() && block >= blocks_of(convs_[c]->out_channels))
      block -= blocks_of(convs_[c++]->out_channels);
    while (in_channel < order_.channels() && order_.stored_channel(in_channel) != quad.channel + i)
      ++in_channel;
    const int out_channel = block * kClusterChannels + in_block;
    if (static_cast<int>(n) >= bundle.blocks || c == convs_.size() ||
        out_channel >= convs_[c]->out_channels || in_channel == order_.channels()) {
      ++of_no_channel;
      return;
    }
    const Window& w = convs_[c]->window;
    const Place place{c, out_channel, in_channel, quad.dy + w.pad_top, quad.dx + w.pad_left};
    twice += !weights.emplace(place, weight).second;
  }

  const PackedBundles& packed_;
  const Convs& convs_;
  const ChannelOrder& order_;
};

// The quads in which a weight of these output channels lives.
size_t live_quads(const ConvDescription& conv, const ChannelOrder& order, int first, int last) {
  std::set<std::tuple<int, int, int>> quads;
  for_each_weight(conv, [&](const Weight& w) {
    if (w.value != 0 && w.o >= first && w.o < last)
      quads.insert({order.stored_channel(w.i) / kQuad, w.y, w.x});
  });
  return quads.size();
}

void check(const Convs& convs, const ChannelOrder& order) {
  const PackedBundles packed = pack_bundles(convs, packed_layout(order));
  const Unpacked unpacked(packed, convs, order);
  EXPECT_EQ(unpacked.weights, live_weights(convs));
  EXPECT_EQ(unpacked.twice, 0);
  EXPECT_EQ(unpacked.of_no_channel, 0);

  // Bundles take the blocks and the steps in order, and never of two convolutions.
  int block = 0, step = 0, most_steps = 0;
  size_t quads = 0;
  auto bundle = packed.bundles.begin();
  for (const ConvDescription* conv : convs) {
    const int blocks = blocks_of(conv->out_channels);
    for (int b = 0; b < blocks; b += packed.width, ++bundle) {
      ASSERT_NE(bundle, packed.bundles.end());
      const int first = b * kClusterChannels, last = first + packed.width * kClusterChannels;
      EXPECT_EQ(bundle->first_block, block + b);
      EXPECT_EQ(bundle->blocks, std::min(packed.width, blocks - b));
      EXPECT_EQ(bundle->first_step, step);
      EXPECT_EQ(bundle->steps,
                (static_cast<int>(live_quads(*conv, order, first, last)) + kStepQuads - 1) / kStepQuads)
          << "quads that are dead take no step";
      step += bundle->steps;
      most_steps = std::max(most_steps, bundle->steps);
    }
    for (int b = 0; b < blocks; ++b)
      quads += live_quads(*conv, order, b * kClusterChannels, (b + 1) * kClusterChannels);
    block += blocks;
  }
  EXPECT_EQ(bundle, packed.bundles.end());
  EXPECT_EQ(packed.blocks, block);
  EXPECT_EQ(packed.steps(), step);
  EXPECT_EQ(packed.most_steps, most_steps);
  EXPECT_EQ(packed.live_quads, static_cast<int64_t>(quads));
  EXPECT_EQ(packed.weights.size(),
            static_cast<size_t>(step * packed.width * kClusterChannels * kStepQuads * kQuad));

  // Biases: zeros for channels that nobody uses, as far as any bundle reaches.
  ASSERT_GE(packed.bias.size(), static_cast<size_t>((block + packed.width - 1) * kClusterChannels));
  std::vector<float> biases;
  for (const ConvDescription* conv : convs) {
    const std::vector<float> bias = decode_bias(*conv);
    biases.insert(biases.end(), bias.begin(), bias.end());
    biases.resize((biases.size() + kClusterChannels - 1) / kClusterChannels * kClusterChannels);
  }
  biases.resize(packed.bias.size());
  EXPECT_EQ(packed.bias, biases);
}

TEST(PackBundles, HoldsEveryLiveWeightOnceAndNoOther) {
  const ChannelOrder inputs[] = {{kQuad, {1}}, {kQuad, {3}},  {kQuad, {5}}, {16, {1}},
                                 {16, {20}},   {16, {5, 20}}, {16, {16, 3}}};
  const Window windows[] = {square(1), square(3, 1, 1), {3, 5, 2, 1, 1, 0, 0, 2}};
  uint32_t seed = 0;
  for (const ChannelOrder& in : inputs) {
    for (const Window& window : windows) {
      for (double density : kDensities) {
        for (int out_channels : {1, 16, 40, 64}) {
          ++seed;
          NetBuilder net(seed, in.channels());
          net.conv(-1, out_channels, window, {seed % 3 == 0, density, seed % 2 == 0});
          SCOPED_TRACE("seed " + std::to_string(seed));
          check({&net.net().layers[0].convs[0]}, in);
        }
      }
    }
  }
}

TEST(PackBundles, LaysConvolutionsSideBySide) {
  uint32_t seed = 1000;
  for (const FireWidths& widths : {FireWidths{5, 17, 18}, {16, 64, 64}, {40, 33, 1}}) {
    for (double density : kDensities) {
      ++seed;
      NetBuilder net(seed, 8);
      net.fire(-1, widths, {true, density, seed % 2 == 0});
      const auto& convs = net.net().layers[0].convs;
      SCOPED_TRACE("seed " + std::to_string(seed));
      check({&convs[1], &convs[2]}, {kClusterChannels, {widths.squeeze}});
    }
  }
}

// A convolution of 1x1 and its weights by input and output channel.
EncodedConv conv_of(int out_channels, int in_channels, const std::function<float(int o, int i)>& weight) {
  ConvSource source;
  source.out_channels = out_channels;
  source.in_channels = in_channels;
  for (int o = 0; o < out_channels; ++o) {
    for (int i = 0; i < in_channels; ++i) source.weight.push_back(weight(o, i));
  }
  return encode(source);
}

int width_of(const EncodedConv& conv) {
  return pack_bundles({&conv.description}, packed_layout({kClusterChannels, {conv.description.in_channels}}))
      .width;
}

TEST(PackBundles, PairsBlocksOnlyWhereTheyReadTheSame) {
  const auto dense = [](int, int) { return 1.0f; };
  EXPECT_EQ(width_of(conv_of(32, 16, dense)), 2);
  EXPECT_EQ(width_of(conv_of(64, 16, dense)), 2);
  EXPECT_EQ(width_of(conv_of(10, 16, dense)), 1) << "there is no other";
  const auto halves = [](int o, int i) { return o / 16 == i / 8 ? 1.0f : 0.0f; };
  EXPECT_EQ(width_of(conv_of(32, 16, halves)), 1) << "each would multiply the other's quads by zeros";
  const auto same_quads = [](int o, int i) { return o / 16 == i % 2 ? 1.0f : 0.0f; };
  EXPECT_EQ(width_of(conv_of(32, 16, same_quads)), 2) << "other clusters, of the same quads";
}

// Where one weight lives, of 40 channels.
TEST(PackBundles, SkipsDeadQuads) {
  const auto one = [](int o, int i) { return o == 5 && i == 30 ? 2.0f : 0.0f; };
  const EncodedConv conv = conv_of(16, 40, one);
  const PackedBundles packed = pack_bundles({&conv.description}, packed_layout({kClusterChannels, {40}}));
  ASSERT_EQ(packed.steps(), 1);
  for (const Column& quad : packed.quads) EXPECT_EQ(quad.channel, 28) << "the others repeat what is there";
  EXPECT_EQ(std::count(packed.weights.begin(), packed.weights.end(), 2.0f), 1);
  constexpr size_t kLane = 2 * kStepQuads, kSecond = 1;
  ASSERT_EQ(channel_of(kLane, kSecond), 5);
  EXPECT_EQ(packed.weights[kLane * kOutputs * kQuad + weight_at(kSecond, 30 % kQuad)], 2);
}

TEST(PackBundles, TapsPointAtQuads) {
  PackedBundles packed;
  packed.quads = {{0, 0, 0}, {4, 0, 1}, {20, -1, 2}, {40, 3, -2}};
  constexpr int64_t kRow = 10 * 16, kBlock = 7 * kRow;
  const std::vector<Tap> taps = taps_of(packed, {16, kBlock, kRow});
  const int64_t values[] = {0, 4 + 16, kBlock + 4 - kRow + 2 * 16, 2 * kBlock + 8 + 3 * kRow - 2 * 16};
  ASSERT_EQ(taps.size(), std::size(values));
  for (size_t k = 0; k < taps.size(); ++k) {
    EXPECT_EQ(int64_t{taps[k].offset} * kQuad, values[k]) << k;
    EXPECT_EQ(taps[k].dy, packed.quads[k].dy);
    EXPECT_EQ(taps[k].dx, packed.quads[k].dx);
  }
  // The net's input: a block is a quad.
  constexpr int64_t kQuadRow = 10 * 4, kQuadBlock = 7 * kQuadRow;
  EXPECT_EQ(int64_t{taps_of(packed, {kQuad, kQuadBlock, kQuadRow})[2].offset} * kQuad,
            5 * kQuadBlock - kQuadRow + 2 * 4);
}

// What f16 does not hold is not what the file says.
TEST(PackBundles, RefusesWeightsThatAreTooLarge) {
  const EncodedConv conv = conv_of(1, 1, [](int, int) { return 70000.0f; });
  const PackedBundles packed = pack_bundles({&conv.description}, packed_layout({kQuad, {1}}));
  Parcel parcel;
  EXPECT_NO_THROW(DeviceBundles(packed, StorageType::kF32, parcel));
  EXPECT_TRUE(throws<InvalidArgument>([&] { DeviceBundles(packed, StorageType::kF16, parcel); },
                                      "storage: a weight is 70000"));
}

}  // namespace
}  // namespace squish::cuda
