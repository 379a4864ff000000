// Nets in integer arithmetic: on every instruction set and any number of threads what the reference computes, to the bit.
#include "reference/integers.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "model/quantisation.h"
#include "squish/error.h"
#include "support/check_net.h"
#include "support/expected.h"
#include "support/net_builder.h"
#include "support/random_net.h"

namespace squish {
namespace {

using testing::all_equal;
using testing::ConvStyle;
using testing::Images;
using testing::NetBuilder;
using testing::run;
using testing::session_options;
using testing::square;

constexpr ConvStyle kI8{true, 1, false, WeightType::kI8}, kI4{true, 0.3, true, WeightType::kI4},
    kI8NoRelu{false, 1, false, WeightType::kI8};

SessionOptions integer_options(const std::string& isa, int threads = 1) {
  SessionOptions options = session_options(isa, threads);
  options.storage = "i8";
  return options;
}

// With every instruction set that floats have: each takes the best integer kernels that go with it.
void check_integer_net(const std::shared_ptr<const Model>& model, const Images& images) {
  ASSERT_EQ(why_not_in_integers(model->graph()), "");
  SessionOptions reference;
  reference.device = "reference";
  Session truth(model, reference);
  ASSERT_EQ(truth.options().storage, "i8");
  const auto wanted = run(truth, images.batch());
  for (const std::string& isa : available_isas()) {
    for (int threads : {1, 3}) {
      Session session(model, integer_options(isa, threads));
      EXPECT_TRUE(all_equal(run(session, images.batch()), wanted)) << isa << ", " << threads << " threads";
      EXPECT_TRUE(all_equal(run(session, images.batch()), wanted)) << isa << ", second run";
    }
  }
}

void check_integer_net(NetBuilder& net, int height, int width) {
  net.hold_in_bytes();
  const auto model = net.model();
  const Shape shape{model->input_shape().channels, height, width};
  for (PixelFormat format : {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc})
    check_integer_net(model, Images(format, testing::kImages, shape, 1));
}

class RandomIntegerNets : public ::testing::TestWithParam<uint32_t> {};

TEST_P(RandomIntegerNets, AreTheReferenceToTheBit) {
  const uint32_t seed = GetParam();
  const testing::RandomNet net = testing::random_integer_net(seed);
  const Shape shape{net.model->input_shape().channels, net.height, net.width};
  const PixelFormat format = seed / 4 % 2 == 0 ? PixelFormat::kF32Nchw : PixelFormat::kU8Nhwc;
  check_integer_net(net.model, Images(format, testing::kImages, shape, seed));
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomIntegerNets, ::testing::Range(0u, unsigned{SQUISH_TEST_NETS}));

TEST(Integers, AnyWindow) {
  const Window windows[] = {
      square(1),       square(1, 2),    square(2),    square(3, 1, 1),          square(3, 2, 1),
      square(5, 1, 2), square(7, 2, 3), square(4, 3), {1, 7, 1, 1, 0, 3, 0, 3}, {5, 2, 1, 3, 4, 0, 1, 1}};
  for (const Window& window : windows) {
    for (int channels = 1; channels <= 4; ++channels) {
      NetBuilder net(1, channels);
      net.conv(net.conv(-1, 20, window, kI8), 33, square(1), kI8NoRelu);
      check_integer_net(net, 12, 17);
    }
    NetBuilder net(2, 3);
    net.conv(net.conv(net.conv(-1, 20, square(1), kI8), 33, window, kI4), 5, square(1), kI8);
    check_integer_net(net, 13, 14);
  }
}

TEST(Integers, AverageThenConvolution) {
  NetBuilder net(2, 3);
  net.conv(-1, 24, square(3, 2), kI8);
  net.conv(net.global_average_pool(0), 10, square(1), kI8NoRelu);
  check_integer_net(net, 33, 31);
}

TEST(Integers, AverageOfAPool) {
  NetBuilder net(3, 3);
  net.conv(-1, 24, square(3, 2), kI8);
  const int pooled = net.max_pool(0, square(3, 2));
  net.add(net.global_average_pool(pooled), net.global_average_pool(net.conv(pooled, 24, square(1), kI4)));
  check_integer_net(net, 33, 31);
}

TEST(Integers, ConvolutionAndPoolForASum) {
  NetBuilder net(4, 3);
  const int stem = net.conv(-1, 20, square(3), kI8);
  const int a = net.max_pool(net.conv(stem, 20, square(1), kI8), square(3, 2));
  const int b = net.max_pool(net.conv(stem, 20, square(3, 1, 1), kI8NoRelu), square(3, 2));
  net.conv(net.add(a, b, true), 7, square(1), kI8NoRelu);
  check_integer_net(net, 20, 25);
}

// In floats, where a byte's range does not do what the ReLU of the sum must.
TEST(Integers, SumForTheCaller) {
  for (const bool relu : {false, true}) {
    NetBuilder net(14, 3);
    const int stem = net.conv(-1, 20, square(3), kI8);
    net.add(net.conv(stem, 20, square(1), kI8NoRelu), net.conv(stem, 20, square(1), kI8NoRelu), relu);
    check_integer_net(net, 9, 11);
  }
}

TEST(Integers, PoolBeforeEverything) {
  NetBuilder net(5, 3);
  net.fire(net.max_pool(-1, square(3, 2), true), {6, 17, 18}, kI8);
  check_integer_net(net, 22, 29);
}

TEST(Integers, PoolsOfASumInARow) {
  NetBuilder net(6, 3);
  const int stem = net.conv(-1, 20, square(3), kI8);
  net.add(net.conv(stem, 20, square(1), kI8), stem);
  net.max_pool(net.max_pool(net.last(), square(2, 2)), square(2, 2));
  check_integer_net(net, 20, 25);
}

TEST(Integers, SumsOfFiresOfDifferentWidths) {
  NetBuilder net(7, 3);
  const int stem = net.conv(-1, 20, square(3, 2), kI8);
  const int sum = net.add(net.fire(stem, {6, 17, 18}, kI8), net.fire(stem, {5, 18, 17}, kI4), true);
  net.global_average_pool(net.conv(sum, 10, square(1), kI8));
  check_integer_net(net, 25, 20);
}

TEST(Integers, OnePixelAndDeadWeights) {
  NetBuilder net(8, 2);
  net.fire(net.fire(-1, {3, 5, 5}, kI8), {3, 0, 9}, {true, 0, false, WeightType::kI8});
  check_integer_net(net, 1, 1);
}

// Threads without a row must leave the border of others alone (ThreadSanitizer sees it).
TEST(Integers, FewerRowsThanThreads) {
  NetBuilder net(14, 3);
  const int stem = net.conv(-1, 20, square(3, 1, 1), kI8);
  net.conv(net.add(net.conv(stem, 20, square(3, 1, 1), kI8), stem), 5, square(3, 1, 1), kI8);
  net.hold_in_bytes();
  const auto model = net.model();
  for (int height : {1, 2}) {
    const Images images(PixelFormat::kU8Nhwc, 1, {3, height, 9}, 1);
    Session alone(model, session_options("scalar")), seven(model, session_options("scalar", 7));
    EXPECT_TRUE(all_equal(run(seven, images.batch()), run(alone, images.batch())));
  }
}

// Sums of values near the largest float are infinite, and their difference is no number: the byte 0.
TEST(Integers, BytesOfWhatIsNoNumber) {
  NetBuilder net(15, 1);
  net.conv(net.global_average_pool(net.add(-1, -1)), 3, square(1), kI8NoRelu);
  net.hold_in_bytes();
  const float image[] = {3e38f, -3e38f};
  const auto wanted = reference::run_in_integers(net.model()->graph(), image, 1, 2);
  for (const std::string& isa : available_isas()) {
    Session session(net.model(), integer_options(isa));
    std::vector<float> got(3);
    session.run({image, PixelFormat::kF32Nchw, 1, 1, 2}, got.data());
    EXPECT_TRUE(all_equal(got, wanted)) << isa;
  }
}

// The input in quads, from a kernel for photographs and from plain loops, and in blocks.
TEST(Integers, FindWhatIsNotFiniteAtEveryPlace) {
  NetBuilder photographs(16, 3), pairs(16, 2), blocks(16, 3);
  photographs.conv(-1, 4, square(3, 1, 1), kI8);
  pairs.conv(-1, 4, square(3, 1, 1), kI8);
  blocks.conv(blocks.max_pool(-1, square(2, 2)), 4, square(1), kI8);
  for (NetBuilder* net : {&photographs, &pairs, &blocks}) {
    net->hold_in_bytes();
    const auto model = net->model();
    for (const std::string& isa : available_isas()) {
      Session session(model, integer_options(isa, 3));
      Images input(PixelFormat::kF32Nchw, 4, {model->input_shape().channels, 3, 19}, 1);
      for (float& value : input.floats()) {
        const float good = std::exchange(value, std::numeric_limits<float>::infinity());
        EXPECT_THROW(run(session, input.batch()), InvalidArgument) << isa;
        value = good;
      }
      EXPECT_NO_THROW(run(session, input.batch())) << isa;
    }
  }
}

TEST(Integers, FloatsOnDemand) {
  NetBuilder net(9, 3);
  net.conv(net.conv(-1, 20, square(3), kI8), 5, square(1), kI8);
  const auto without = net.model();
  net.hold_in_bytes();
  const auto with = net.model();
  const Images images(PixelFormat::kF32Nchw, 2, {3, 12, 12}, 1);
  SessionOptions options;
  Session plain(without, options);
  EXPECT_EQ(plain.options().storage, "f32");
  options.storage = "f32";
  Session floats(with, options);
  EXPECT_EQ(floats.options().storage, "f32");
  EXPECT_TRUE(all_equal(run(floats, images.batch()), run(plain, images.batch())));
}

TEST(Integers, ExplainNamesKernelsAndBytes) {
  NetBuilder net(10, 3);
  net.global_average_pool(
      net.conv(net.fire(net.conv(-1, 20, square(3, 2), kI8), {8, 16, 16}, kI4), 5, square(1), kI8));
  net.hold_in_bytes();
  Session session(net.model(), integer_options("scalar"));
  const auto steps = session.explain(20, 20);
  EXPECT_EQ(steps[0].kernel, "i8_quads_scalar");
  EXPECT_EQ(steps[1].kernel, "i8_cluster_16x4_scalar");
  EXPECT_NE(steps[1].why.find("values in bytes, 0.0"), std::string::npos) << steps[1].why;
  EXPECT_NE(steps[4].why.find("values in floats"), std::string::npos) << steps[4].why;
  EXPECT_EQ(steps[1].macs_run, 9 * 2 * 64 * 9 * 9) << "quads of three channels have four";
}

// The message of a session that is to compute in integers.
std::string refusal(NetBuilder& net) {
  SessionOptions options;
  options.storage = "i8";
  try {
    Session session(net.model(), options);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

TEST(Integers, RefusesNetsThatAreNotMadeForThem) {
  const std::string why = "storage: got 'i8', the file is not made for integer arithmetic: layer ";
  NetBuilder net(11, 3);
  net.fire(net.conv(-1, 20, square(3), kI8), {6, 17, 18}, kI4);
  EXPECT_EQ(refusal(net), why + "0 'conv0': it has no activation scale");
  net.hold_in_bytes();
  EXPECT_EQ(refusal(net), "");
  auto& convs = net.net().layers[1].convs;
  convs[2].activation.zero ^= 1;
  EXPECT_EQ(refusal(net).find(why + "1 'fire1': expand3x3: it reads bytes of scale "), 0u) << refusal(net);
  convs[2].activation = {};
  EXPECT_EQ(refusal(net), why + "1 'fire1': expand3x3: it has no activation scale");
  convs[2].activation = convs[1].activation = {0x1p-40f, 0};
  EXPECT_EQ(refusal(net), why + "1 'fire1': squeeze: its sums may be too large for 32 bits");

  NetBuilder of_floats(12, 3);
  of_floats.conv(-1, 20, square(3));
  of_floats.hold_in_bytes();
  EXPECT_EQ(refusal(of_floats), why + "0 'conv0': its weights are no integers");
  NetBuilder without(13, 3);
  without.max_pool(-1, square(2));
  EXPECT_NE(refusal(without).find(": it has no convolutions"), std::string::npos);
}

// Of a net whose second convolution is this filter.
std::string refusal_of_filter(const ConvSource& filter, float scale_of_result) {
  NetBuilder net(15, 1);
  net.conv(net.conv(net.conv(-1, filter.in_channels, square(1), kI8), 1, square(1), kI8), 1, square(1), kI8);
  net.hold_in_bytes();
  auto& layers = net.net().layers;
  const EncodedConv encoded = encode(filter);
  layers[1].convs[0] = encoded.description;
  layers[1].convs[0].activation = {0x1p-20f, 0};
  layers[2].convs[0].activation = {scale_of_result, 0};
  return refusal(net);
}

TEST(Integers, RefusesSumsThatMayOverflow) {
  const std::string too_large =
      "storage: got 'i8', the file is not made for integer arithmetic: layer 1 'conv1': its sums may be too "
      "large for "
      "32 bits";
  constexpr int kFits = INT32_MAX / (255 * 127);
  ConvSource filter;
  filter.out_channels = 1;
  filter.in_channels = 1400;
  filter.window = square(7);
  filter.type = WeightType::kI8;
  filter.weight.resize(1400 * 7 * 7);
  filter.bias = {0};
  std::fill_n(filter.weight.begin(), kFits, 127.0f);
  EXPECT_EQ(refusal_of_filter(filter, 1), "");
  filter.weight[kFits] = -127;
  EXPECT_EQ(refusal_of_filter(filter, 1), too_large);

  ConvSource offset;
  offset.out_channels = offset.in_channels = 1;
  offset.type = WeightType::kI8;
  offset.weight = {127};
  for (const float sign : {-1.0f, 1.0f}) {
    offset.bias = {sign * 0x1p15f};
    EXPECT_EQ(refusal_of_filter(offset, 0x1p-14f), "");
    EXPECT_EQ(refusal_of_filter(offset, 0x1p-15f), too_large);
  }
}

// A hand-computed net of one weight: 3 * (q - 10) * 0.5 * 0.25 - 1, held in bytes of 0.125 with zero 5.
TEST(Integers, ReferenceRoundsAsTheFormatSays) {
  NetBuilder net(13, 1);
  ConvSource source;
  source.out_channels = source.in_channels = 1;
  source.weight = {127.0f * 0.25f};  // the largest: value 127, scale 0.25
  source.bias = {-1};
  source.type = WeightType::kI8;
  const EncodedConv first = encode(source), second = encode(source);
  net.conv(net.conv(-1, 1, square(1), kI8), 1, square(1), kI8NoRelu);
  auto& layers = net.net().layers;
  layers[0].convs[0] = first.description;
  layers[0].convs[0].activation = {0.5f, 10};
  layers[1].convs[0] = second.description;
  layers[1].convs[0].activation = {8.0f, 5};
  // x = 1.25: q = round(2.5 + 10) = 12, to even; sum 127 * 2 = 254; 254 * 0.25 * 0.5 / 8 + (-1 / 8 + 5) = 8.84375: 9;
  // 127 * 4 * 0.25 * 8 - 1 = 1015.
  const float image = 1.25f;
  EXPECT_EQ(reference::run_in_integers(net.model()->graph(), &image, 1, 1), std::vector<float>{1015});
}

}  // namespace
}  // namespace squish
