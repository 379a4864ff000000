#include "model/graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "squish/error.h"
#include "support/net_builder.h"
#include "support/throws.h"

namespace squish {
namespace {

using testing::NetBuilder;
using testing::square;
using testing::throws;

::testing::AssertionResult rejects(NetBuilder& net, const std::string& words) {
  return throws<FormatError>([&] { Graph graph(net.net()); }, words);
}

// conv0 (8) -> fire1 (4, 5, 6) -> add2 with itself
NetBuilder little_net() {
  NetBuilder net(1, 3);
  net.conv(-1, 8, square(3));
  net.fire(0, {4, 5, 6});
  net.add(1, 1);
  return net;
}

TEST(Graph, KnowsChannelsAndConsumers) {
  NetBuilder net = little_net();
  const Graph graph(net.net());
  EXPECT_EQ(graph.size(), 3);
  EXPECT_EQ(graph.channels(-1), 3);
  EXPECT_EQ(graph.channels(0), 8);
  EXPECT_EQ(graph.channels(1), 11);
  EXPECT_EQ(graph.channels(2), 11);
  EXPECT_EQ(graph.consumers(-1), std::vector<int>{0});
  EXPECT_EQ(graph.consumers(1), (std::vector<int>{2, 2}));
  EXPECT_TRUE(graph.consumers(2).empty());
}

TEST(Graph, RejectsNoLayers) {
  NetBuilder net(1, 3);
  EXPECT_TRUE(rejects(net, "the net has no layers"));
}

TEST(Graph, RejectsALayerThatNobodyReads) {
  NetBuilder net = little_net();
  net.conv(0, 8, square(1));
  EXPECT_TRUE(rejects(net, "layer 2 'add2': no layer uses it"));
}

TEST(Graph, RejectsLabelsThatAreNotAsManyAsTheOutputs) {
  NetBuilder net = little_net();
  net.net().labels = {"cat", "dog"};
  EXPECT_TRUE(rejects(net, "labels: got 2 names for 11 outputs"));
}

TEST(Graph, RejectsConvsOfOtherChannelsThanTheirInput) {
  NetBuilder conv = little_net(), squeeze = little_net(), expand = little_net();
  conv.net().layers[0].convs[0].in_channels = 4;
  EXPECT_TRUE(rejects(conv, "layer 0 'conv0': convolution 0 reads 4 channels, its input has 3"));
  squeeze.net().layers[1].convs[kSqueeze].in_channels = 9;
  EXPECT_TRUE(rejects(squeeze, "layer 1 'fire1': convolution 0 reads 9 channels, its input has 8"));
  expand.net().layers[1].convs[kExpand3x3].in_channels = 5;
  EXPECT_TRUE(rejects(expand, "layer 1 'fire1': convolution 2 reads 5 channels, its input has 4"));
}

TEST(Graph, RejectsAdditionsOfOtherChannels) {
  NetBuilder net = little_net();
  net.net().layers[2].inputs = {0, 1};
  EXPECT_TRUE(rejects(net, "layer 2 'add2': adds 8 channels to 11"));
}

TEST(Graph, RejectsFiresOfOtherWindows) {
  const int fields = 8;
  for (int conv : {kSqueeze, kExpand1x1, kExpand3x3}) {
    for (int field = 0; field < fields; ++field) {
      NetBuilder net = little_net();
      Window& w = net.net().layers[1].convs[static_cast<size_t>(conv)].window;
      int* const all[fields] = {&w.kernel_h, &w.kernel_w, &w.stride_h,   &w.stride_w,
                                &w.pad_top,  &w.pad_left, &w.pad_bottom, &w.pad_right};
      *all[field] += 1;
      EXPECT_TRUE(rejects(net, "layer 1 'fire1': a Fire is squeeze 1x1, expand 1x1 and expand 3x3"));
    }
  }
}

TEST(Graph, RejectsFiresWithoutFilters) {
  NetBuilder net(1, 3);
  net.fire(-1, {4, 0, 0});
  EXPECT_TRUE(rejects(net, "layer 0 'fire0': both expands are empty"));
}

TEST(Graph, RejectsFiresOfWhichOneExpandHasAReLU) {
  NetBuilder net = little_net();
  net.net().layers[1].convs[kExpand3x3].relu = false;
  EXPECT_TRUE(rejects(net, "layer 1 'fire1': one expand has a ReLU and the other has none"));
}

// The flags of what is absent mean nothing.
TEST(Graph, AdmitsAFireOfOneExpandWhateverTheOthersReLU) {
  NetBuilder net(1, 3);
  net.fire(-1, {4, 0, 6});
  ConvDescription& absent = net.net().layers[0].convs[kExpand1x1];
  for (bool relu : {false, true}) {
    absent.relu = relu;
    EXPECT_EQ(Graph(net.net()).channels(0), 6);
  }
}

// A bit of the file stands for up to 64 weights.
TEST(Graph, RejectsMoreWeightsThanAnyNetHas) {
  NetBuilder net(1, 3);
  net.conv(-1, 8, square(1));
  ConvDescription conv = net.net().layers[0].convs[0];
  conv.out_channels = 1 << 15;
  conv.window = square(253);
  net.net().layers[0].convs[0] = conv;
  EXPECT_TRUE(
      rejects(net, "layer 0 'conv0': with it the net has 6292340736 weights, must be at most 2147483648"));
}

// Slides a window over the padded input, pixel by pixel: the number of places where it fits.
int places(int input, const Window& w) {
  int count = 0;
  for (int first = -w.pad_top; first + w.kernel_h <= input + w.pad_bottom; first += w.stride_h) ++count;
  return count;
}

// PyTorch: with ceil_mode windows go on until one reaches the end, but none begins in the padding there.
int pool_places(int input, const Window& w) {
  int count = 0;
  for (int first = -w.pad_top; first < input; first += w.stride_h) {
    ++count;
    if (first + w.kernel_h >= input + w.pad_bottom) break;
  }
  return count;
}

TEST(Graph, ExtentsAreThePlacesOfAWindow) {
  for (int kernel = 1; kernel <= 7; ++kernel) {
    for (int stride = 1; stride <= 4; ++stride) {
      for (int before = 0; before < kernel; ++before) {
        for (int after = 0; after < kernel; ++after) {
          const Window w{kernel, kernel, stride, stride, before, before, after, after};
          for (int input = std::max(1, kernel - before - after); input < 20; ++input) {
            ASSERT_EQ(conv_extent(input, kernel, stride, before, after), places(input, w));
            ASSERT_EQ(pool_extent(input, kernel, stride, before, after, false), places(input, w));
            ASSERT_EQ(pool_extent(input, kernel, stride, before, after, true), pool_places(input, w))
                << kernel << " by " << stride << " on " << input << ", padding " << before << ", " << after;
          }
        }
      }
    }
  }
}

TEST(Graph, ExtentsOfSqueezeNet) {
  EXPECT_EQ(conv_extent(224, 7, 2, 0, 0), 109);
  EXPECT_EQ(pool_extent(109, 3, 2, 0, 0, true), 54);
  EXPECT_EQ(pool_extent(54, 3, 2, 0, 0, true), 27);
  EXPECT_EQ(pool_extent(54, 3, 2, 0, 0, false), 26);
  EXPECT_EQ(pool_extent(27, 3, 2, 0, 0, true), 13);
}

TEST(Graph, ExtentIsNotPositiveWhereNothingFits) {
  EXPECT_LE(conv_extent(2, 3, 1, 0, 0), 0);
  EXPECT_LE(conv_extent(1, 7, 4, 1, 1), 0);
  EXPECT_LE(pool_extent(1, 3, 2, 0, 0, false), 0);
}

TEST(Graph, NamesTheLayerThatAnImageIsTooSmallFor) {
  NetBuilder net(1, 3);
  net.max_pool(net.conv(-1, 4, square(3)), square(2, 2));
  const Graph graph(net.net());
  EXPECT_TRUE(throws<InvalidArgument>([&] { graph.shapes(2, 9); }, "layer 0 'conv0' gets 2x9"));
  EXPECT_TRUE(throws<InvalidArgument>([&] { graph.shapes(9, 3); }, "layer 1 'pool1' gets 7x1"));
  EXPECT_EQ(graph.shapes(4, 5).back(), (Shape{4, 1, 1}));
}

TEST(Graph, NamesTheAdditionThatASizeBreaks) {
  NetBuilder net(1, 3);
  net.max_pool(-1, square(2, 2), true);
  net.max_pool(-1, square(2, 2), false);
  net.add(0, 1);
  const Graph graph(net.net());
  EXPECT_EQ(graph.shapes(8, 6).back(), (Shape{3, 4, 3}));
  EXPECT_TRUE(throws<InvalidArgument>([&] { graph.shapes(8, 7); }, "layer 2 'add2' would add 4x4 to 4x3"));
}

TEST(Graph, RejectsSizesOutOfRange) {
  NetBuilder net = little_net();
  const Graph graph(net.net());
  for (int bad : {0, -1, (1 << 20) + 1, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    EXPECT_TRUE(throws<InvalidArgument>([&] { graph.shapes(bad, 8); }, "each side must be 1 to 1048576"));
    EXPECT_TRUE(throws<InvalidArgument>([&] { graph.shapes(8, bad); }, "each side must be 1 to 1048576"));
  }
}

}  // namespace
}  // namespace squish
