// The error bound of the reference's convolution: what is proven, no more.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "reference/ops.h"
#include "support/net_builder.h"
#include "support/random.h"

namespace squish {
namespace {

using reference::Activation;
using reference::kLambda;
using reference::kUnitRoundoff;
using testing::NetBuilder;
using testing::square;

Activation random_image(int channels, int extent) {
  testing::Random random(1);
  Activation image = reference::make_activation({channels, extent, extent}, true);
  for (double& value : image.value) value = random.value();
  return image;
}

// The largest bound of an output, in units of u * the largest sum |w x| + |b|, which is 1 for these weights.
double largest_bound(int channels, int kernel, bool winograd) {
  NetBuilder net(1, channels);
  net.conv(-1, 1, square(kernel), {false});
  ConvDescription& conv = net.net().layers[0].convs[0];
  std::vector<float> weights(static_cast<size_t>(conv.weight_count()), 1.0f);
  const float bias = 0;
  conv.encoding = WeightEncoding::kDense;
  conv.occupancy = {};
  conv.values = {reinterpret_cast<const uint8_t*>(weights.data()), weights.size() * sizeof(float)};
  conv.bias = {reinterpret_cast<const uint8_t*>(&bias), sizeof bias};
  Activation ones = reference::make_activation({channels, kernel, kernel}, true);
  std::fill(ones.value.begin(), ones.value.end(), 1.0);
  const Activation out = reference::conv(ones, conv, winograd);
  return kLambda * std::sqrt(out.variance.at(0)) / (kUnitRoundoff * out.value.at(0));
}

// n products and the bias.
TEST(ReferenceBound, OfFewProductsIsTheWorstCase) {
  EXPECT_NEAR(largest_bound(1, 1, false), 2, 1e-9);
  EXPECT_NEAR(largest_bound(4, 3, false), 37, 1e-9);
}

TEST(ReferenceBound, OfManyProductsIsTheProbableCase) {
  EXPECT_NEAR(largest_bound(256, 3, false), kLambda * std::sqrt(2305), 1e-6);
}

TEST(ReferenceBound, IsWiderInTilesOnly) {
  EXPECT_GT(largest_bound(16, 3, true), 10 * largest_bound(16, 3, false));
  EXPECT_EQ(largest_bound(16, 1, true), largest_bound(16, 1, false));
  EXPECT_EQ(largest_bound(16, 5, true), largest_bound(16, 5, false));
}

TEST(ReferenceBound, LeavesTheValueAsItIs) {
  NetBuilder net(2, 5);
  net.conv(-1, 7, square(3, 1, 1), {true, 0.4});
  const ConvDescription& conv = net.net().layers[0].convs[0];
  Activation image = random_image(5, 6);
  const std::vector<double> tracked = reference::conv(image, conv, true).value;
  image.variance.clear();
  EXPECT_EQ(reference::conv(image, conv, false).value, tracked);
}

}  // namespace
}  // namespace squish
