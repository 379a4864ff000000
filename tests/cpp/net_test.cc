// Whole nets on every instruction set and any number of threads, against the reference in double precision.
#include <gtest/gtest.h>

#include "support/check_net.h"
#include "support/net_builder.h"
#include "support/random_net.h"

namespace squish {
namespace {

using testing::check_net;
using testing::ConvStyle;
using testing::Images;
using testing::NetBuilder;
using testing::square;

constexpr ConvStyle kNoRelu{false, 1};

class RandomNets : public ::testing::TestWithParam<uint32_t> {};

TEST_P(RandomNets, AgreeWithTheReference) {
  const uint32_t seed = GetParam();
  const testing::RandomNet net = testing::random_net(seed);
  const Shape shape{net.model->input_shape().channels, net.height, net.width};
  const PixelFormat format = seed / 4 % 2 == 0 ? PixelFormat::kF32Nchw : PixelFormat::kU8Nhwc;
  const bool winograd = seed / 8 % 4 != 0;
  check_net(net.model, Images(format, testing::kImages, shape, seed), winograd, {2, 3, 5});
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomNets, ::testing::Range(0u, unsigned{SQUISH_TEST_NETS}));

TEST(Net, ConvolutionThenAverage) {
  NetBuilder net(1, 3);
  net.conv(-1, 24, square(3, 2));
  net.global_average_pool(net.conv(0, 10, square(1), kNoRelu));
  check_net(net.model(), 33, 31);
}

TEST(Net, AverageThenConvolution) {
  NetBuilder net(2, 3);
  net.conv(-1, 24, square(3, 2));
  net.conv(net.global_average_pool(0), 10, square(1), kNoRelu);
  check_net(net.model(), 33, 31);
}

TEST(Net, MapOfFeatures) {
  NetBuilder net(3, 3);
  net.fire(net.conv(-1, 19, square(3, 2)), {6, 17, 18});
  check_net(net.model(), 21, 30);
}

TEST(Net, PoolBeforeEverything) {
  NetBuilder net(4, 3);
  net.fire(net.max_pool(-1, square(3, 2), true), {6, 17, 18});
  check_net(net.model(), 22, 29);
}

TEST(Net, AverageOfTheInput) {
  NetBuilder net(5, 4);
  net.global_average_pool(-1);
  check_net(net.model(), 17, 5);
}

TEST(Net, FireOfTheInput) {
  NetBuilder net(6, 1);
  net.fire(-1, {4, 9, 20});
  check_net(net.model(), 18, 15);
}

TEST(Net, ExpandsThatAreGone) {
  NetBuilder net(7, 3);
  net.fire(-1, {8, 0, 37});
  net.fire(0, {8, 21, 0});
  net.fire(1, {1, 1, 0});
  check_net(net.model(), 14, 13);
}

TEST(Net, DenseFiresInTilesAndPooled) {
  NetBuilder net(8, 3);
  net.conv(-1, 32, square(3, 2, 1));
  net.max_pool(net.fire(0, {32, 48, 48}), square(3, 2), false);
  net.max_pool(net.fire(2, {32, 48, 48}), square(3, 2), true);
  for (int extent : {25, 26, 27, 28}) check_net(net.model(), extent, extent + 3);
}

// Their outputs' borders lie where memory holds what an earlier op left.
TEST(Net, TilesReadByAPaddedConvolution) {
  for (const bool pooled : {false, true}) {
    NetBuilder net(16, 3);
    const int squeezed = net.conv(net.conv(-1, 64, square(3, 1, 1)), 32, square(1));
    int tiles = net.conv(squeezed, 48, square(3, 1, 1));
    if (pooled) tiles = net.max_pool(tiles, square(3, 2));
    net.conv(net.conv(tiles, 20, square(3, 1, 1)), 5, square(5, 2, 2));
    check_net(net.model(), 23, 31);
  }
}

TEST(Net, WeightsThatAreAllZero) {
  NetBuilder net(9, 3);
  const ConvStyle dead{true, 0};
  net.fire(net.conv(-1, 20, square(3, 2), dead), {5, 18, 19}, dead);
  check_net(net.model(), 19, 19);
}

TEST(Net, BypassOfTheInput) {
  NetBuilder net(10, 3);
  net.add(-1, net.conv(-1, 3, square(3, 1, 1)), true);
  net.conv(1, 8, square(3, 2));
  check_net(net.model(), 15, 20);
}

TEST(Net, InputOfAPoolAndAConvolution) {
  NetBuilder net(11, 3);
  const int pooled = net.max_pool(-1, square(1));
  net.add(net.conv(-1, 3, square(1)), pooled);
  check_net(net.model(), 9, 12);
}

TEST(Net, PoolWhoseInputHasOtherReaders) {
  NetBuilder net(12, 3);
  net.conv(-1, 20, square(3));
  const int pooled = net.max_pool(0, square(3, 2));
  net.add(pooled, net.conv(0, 20, square(3, 2)), true);
  check_net(net.model(), 20, 25);
}

TEST(Net, PoolsInARow) {
  NetBuilder net(13, 3);
  net.conv(-1, 20, square(3));
  net.global_average_pool(net.max_pool(net.max_pool(0, square(3, 2)), square(3, 2), true));
  check_net(net.model(), 20, 25);
}

TEST(Net, OnePixel) {
  NetBuilder net(14, 2);
  net.fire(-1, {3, 5, 5});
  net.max_pool(0, square(2, 2), true);
  check_net(net.model(), 1, 1);
}

TEST(Net, MoreThreadsThanWork) {
  NetBuilder net(15, 1);
  net.conv(-1, 1, square(1));
  check_net(net.model(), 2, 1);
}

}  // namespace
}  // namespace squish
