#include "plan/fuse.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/net_builder.h"

namespace squish {
namespace {

using testing::NetBuilder;
using testing::square;
using Names = std::vector<std::string>;

// A net and its ops, which point into it.
struct Fused {
  explicit Fused(NetBuilder& net, const std::vector<bool>& whole_fires = {})
      : graph(net.net()), ops(fuse(graph, {whole_fires})) {}

  Names names() const {
    Names names;
    for (const Op& op : ops) names.push_back(op.name);
    return names;
  }
  const Op& operator[](size_t k) const { return ops.at(k); }

  Graph graph;
  std::vector<Op> ops;
};

TEST(Fuse, FireIsTwoConvolutions) {
  NetBuilder net(1, 3);
  net.fire(net.conv(-1, 8, square(3, 2)), {4, 5, 6});
  const Fused fused(net);
  EXPECT_EQ(fused.names(), (Names{"conv0", "fire1/squeeze", "fire1/expand"}));
  EXPECT_EQ(fused[1].inputs, std::vector<int>{0});
  EXPECT_EQ(fused[2].inputs, std::vector<int>{1});
  ASSERT_EQ(fused[1].convs.size(), 1u);
  ASSERT_EQ(fused[2].convs.size(), 2u);
  EXPECT_EQ(fused[1].convs[0]->out_channels, 4);
  EXPECT_EQ(fused[2].convs[0]->out_channels, 5);
  EXPECT_EQ(fused[2].convs[1]->out_channels, 6);
  EXPECT_EQ(fused[1].last_layer, -1) << "the squeeze's output is no layer's";
  EXPECT_EQ(fused[2].last_layer, 1);
}

TEST(Fuse, WholeFiresAreOneOp) {
  NetBuilder net(1, 3);
  net.max_pool(net.fire(net.fire(-1, {4, 5, 6}), {7, 0, 9}), square(3, 2));
  const Fused fused(net, {false, true, false});
  EXPECT_EQ(fused.names(), (Names{"fire0/squeeze", "fire0/expand", "fire1+pool2"}));
  EXPECT_EQ(fused[1].squeeze, nullptr);
  EXPECT_EQ(fused[2].inputs, std::vector<int>{1});
  EXPECT_EQ(fused[2].last_layer, 2);
  EXPECT_TRUE(fused[2].pooled);
  ASSERT_NE(fused[2].squeeze, nullptr);
  EXPECT_EQ(fused[2].squeeze->out_channels, 7);
  ASSERT_EQ(fused[2].convs.size(), 1u);
  EXPECT_EQ(fused[2].convs[0]->out_channels, 9);
}

TEST(Fuse, ExpandsThatAreGoneAreLeftOut) {
  NetBuilder net(1, 3);
  net.fire(net.fire(-1, {4, 0, 6}), {4, 5, 0});
  const Fused fused(net);
  ASSERT_EQ(fused[1].convs.size(), 1u);
  EXPECT_EQ(fused[1].convs[0]->window.kernel_h, 3);
  ASSERT_EQ(fused[3].convs.size(), 1u);
  EXPECT_EQ(fused[3].convs[0]->window.kernel_h, 1);
}

TEST(Fuse, SqueezeNetsPoolsAndHeadAreFused) {
  NetBuilder net(1, 3);
  net.max_pool(net.conv(-1, 8, square(3, 2)), square(3, 2), true);
  net.max_pool(net.fire(1, {4, 5, 6}), square(3, 2));
  net.global_average_pool(net.conv(3, 10, square(1)));
  const Fused fused(net);
  EXPECT_EQ(fused.names(), (Names{"conv0+pool1", "fire2/squeeze", "fire2/expand+pool3", "conv4+average5"}));
  EXPECT_TRUE(fused[0].pooled && fused[0].ceil_mode && !fused[0].averaged);
  EXPECT_TRUE(fused[2].pooled && !fused[2].ceil_mode);
  EXPECT_TRUE(fused[3].averaged && !fused[3].pooled);
  EXPECT_EQ(fused[1].inputs, std::vector<int>{0}) << "reads the pooled output";
  EXPECT_EQ(fused[3].inputs, std::vector<int>{2});
  EXPECT_EQ(fused[0].last_layer, 1);
}

TEST(Fuse, AveragesStandAloneWhereABackendWantsThemTo) {
  NetBuilder net(1, 3);
  net.max_pool(net.conv(-1, 8, square(3, 2)), square(3, 2));
  net.global_average_pool(net.conv(1, 10, square(1)));
  const Graph graph(net.net());
  Names names;
  for (const Op& op : fuse(graph, {{}, false})) names.push_back(op.name);
  EXPECT_EQ(names, (Names{"conv0+pool1", "conv2", "average3"})) << "other pools are fused as ever";
}

TEST(Fuse, PoolsOfOtherWindowsStandAlone) {
  Window padded_left = square(3, 2);
  padded_left.pad_left = 1;
  for (const Window& window : {square(2, 2), square(3, 1), square(3, 2, 1), padded_left}) {
    NetBuilder net(1, 3);
    net.max_pool(net.conv(-1, 8, square(3)), window);
    EXPECT_EQ(Fused(net).names(), (Names{"conv0", "pool1"}));
  }
}

TEST(Fuse, PoolWhoseInputOthersReadStandsAlone) {
  NetBuilder net(1, 3);
  net.conv(-1, 8, square(3));
  net.max_pool(0, square(3, 2));
  net.conv(0, 8, square(3, 2));
  net.add(1, 2);
  const Fused fused(net);
  EXPECT_EQ(fused.names(), (Names{"conv0", "pool1", "conv2", "add3"}));
  EXPECT_EQ(fused[3].inputs, (std::vector<int>{1, 2}));
}

TEST(Fuse, PoolOfWhatIsNoConvolutionStandsAlone) {
  NetBuilder net(1, 3);
  const int pooled = net.max_pool(-1, square(3, 2));
  net.global_average_pool(net.add(pooled, pooled));
  EXPECT_EQ(Fused(net).names(), (Names{"pool0", "add1", "average2"}));
}

TEST(Fuse, ConvolutionTakesOnePool) {
  NetBuilder net(1, 3);
  net.conv(-1, 8, square(3));
  net.global_average_pool(net.max_pool(net.max_pool(0, square(3, 2)), square(3, 2)));
  EXPECT_EQ(Fused(net).names(), (Names{"conv0+pool1", "pool2", "average3"}));
}

// A pool moves to its convolution, over layers that stand between them.
TEST(Fuse, LayersBetweenAConvolutionAndItsPoolStay) {
  NetBuilder net(1, 3);
  net.conv(-1, 8, square(3));
  net.conv(-1, 8, square(3));
  net.max_pool(0, square(3, 2));
  net.max_pool(1, square(3, 2));
  net.add(2, 3, true);
  const Fused fused(net);
  EXPECT_EQ(fused.names(), (Names{"conv0+pool2", "conv1+pool3", "add4"}));
  EXPECT_EQ(fused[2].inputs, (std::vector<int>{0, 1}));
  EXPECT_TRUE(fused[2].relu);
}

}  // namespace
}  // namespace squish
