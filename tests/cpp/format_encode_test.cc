#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <random>

#include "format/half.h"
#include "format/weights.h"
#include "format/write.h"
#include "squish/error.h"

namespace squish {
namespace {

constexpr float kDenormal = std::numeric_limits<float>::denorm_min();

constexpr WeightType kTypes[] = {WeightType::kF32, WeightType::kF16, WeightType::kI8, WeightType::kI4};

// An integer type, its name and its largest value.
struct Integers {
  WeightType type;
  const char* name;
  float largest;
};

constexpr Integers kIntegers[] = {{WeightType::kI8, "i8", 127}, {WeightType::kI4, "i4", 7}};
constexpr EncodingChoice kChoices[] = {EncodingChoice::kDense, EncodingChoice::kCluster16x1,
                                       EncodingChoice::kCluster16x4, EncodingChoice::kSynapse};

// What dies together: single weights, or clusters of 16 outputs x `inputs` inputs.
struct Sparsity {
  double density;
  int outputs, inputs;
};

constexpr Sparsity kSparsities[] = {{1, 1, 1},    {0.5, 1, 1},   {0.1, 1, 1},  {0.02, 1, 1}, {0.5, 16, 1},
                                    {0.1, 16, 1}, {0.02, 16, 1}, {0.5, 16, 4}, {0.1, 16, 4}, {0, 1, 1}};

ConvSource random_conv(int out, int in, int kernel, const Sparsity& sparsity, float magnitude = 1) {
  ConvSource source;
  source.out_channels = out;
  source.in_channels = in;
  source.window.kernel_h = source.window.kernel_w = kernel;
  std::mt19937 random(static_cast<uint32_t>(out * 1000 + in * 10 + kernel));
  std::uniform_real_distribution<float> value(-magnitude, magnitude);
  const auto lives = [&](int o, int i, int position) {
    const auto cluster =
        static_cast<uint32_t>((o / sparsity.outputs * 1009 + i / sparsity.inputs) * 53 + position);
    return cluster * 2654435761u < sparsity.density * 4294967296.0;  // Knuth's multiplicative hash
  };
  for (int o = 0; o < out; ++o)
    for (int i = 0; i < in; ++i)
      for (int k = 0; k < kernel * kernel; ++k) source.weight.push_back(lives(o, i, k) ? value(random) : 0);
  for (int o = 0; o < out; ++o) source.bias.push_back(value(random));
  return source;
}

ConvSource conv_of(std::vector<float> weight, WeightType type) {
  ConvSource source;
  source.out_channels = 1;
  source.in_channels = static_cast<int>(weight.size());
  source.weight = std::move(weight);
  source.type = type;
  return source;
}

// The message of the InvalidArgument, or "" if there is none.
std::string refusal(const ConvSource& source) {
  try {
    encode(source);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

TEST(Encode, F32IsExactInEveryEncoding) {
  for (const Sparsity& sparsity : kSparsities) {
    for (EncodingChoice encoding : kChoices) {
      ConvSource source = random_conv(19, 6, 3, sparsity);
      source.encoding = encoding;
      const EncodedConv conv = encode(source);
      EXPECT_EQ(decode_dense(conv.description), source.weight);
      EXPECT_EQ(decode_bias(conv.description), source.bias);
    }
  }
}

TEST(Encode, F16IsTheNearestHalfInEveryEncoding) {
  for (EncodingChoice encoding : kChoices) {
    ConvSource source = random_conv(19, 6, 3, {0.5, 1, 1}, 1e-4f);  // many are subnormal halves
    source.encoding = encoding;
    source.type = WeightType::kF16;
    std::vector<float> want;
    for (float weight : source.weight) want.push_back(float_from_half(half_from_float(weight)));
    EXPECT_EQ(decode_dense(encode(source).description), want);
  }
}

// Half a unit in the last place: 2^-11 of a normal half's power of two, 2^-25 below 2^-14.
TEST(Encode, BiasesNextToOtherTypesThanF32AreWithinHalfAUnitOfAHalf) {
  for (WeightType type : {WeightType::kF16, WeightType::kI8, WeightType::kI4}) {
    for (float magnitude : {65000.0f, 1.0f, 1e-3f, 1e-6f, 1e-30f}) {
      ConvSource source = random_conv(97, 2, 1, {1, 1, 1});
      source.type = type;
      for (float& bias : source.bias) bias *= magnitude;
      const std::vector<float> got = decode_bias(encode(source).description);
      ASSERT_EQ(got.size(), source.bias.size());
      for (size_t o = 0; o < got.size(); ++o) {
        ASSERT_LE(std::fabs(got[o] - source.bias[o]),
                  std::fmax(std::fabs(source.bias[o]) * 0x1p-11f, 0x1p-25f))
            << "bias " << source.bias[o];
      }
    }
  }
}

TEST(Encode, BiasesRoundTiesToEven) {
  ConvSource source = conv_of({1}, WeightType::kI8);
  for (const auto& [bias, want] : {std::pair{1 + 0x1p-11f, 1.0f}, {1 + 0x3p-11f, 1 + 0x1p-9f}}) {
    source.bias = {bias};
    EXPECT_EQ(decode_bias(encode(source).description), std::vector<float>{want});
  }
}

uint16_t scale_of(WeightType type, float largest) {
  return detail::load<uint16_t>(encode(conv_of({largest, 0}, type)).description.scale.data, 0);
}

class EncodeIntegers : public ::testing::TestWithParam<Integers> {
 protected:
  const WeightType type_ = GetParam().type;
  const float largest_ = GetParam().largest;
};

INSTANTIATE_TEST_SUITE_P(, EncodeIntegers, ::testing::ValuesIn(kIntegers),
                         [](const auto& integers) { return integers.param.name; });

TEST_P(EncodeIntegers, TheScaleIsTheSmallestHalfThatReachesTheLargest) {
  for (int half = 1; half <= 0x7BFF; ++half) {
    const double scale = float_from_half(static_cast<uint16_t>(half));
    const auto exact = static_cast<float>(largest_ * scale);
    ASSERT_EQ(double{exact}, largest_ * scale);
    ASSERT_EQ(scale_of(type_, exact), half);
    ASSERT_EQ(scale_of(type_, -exact), half);
    if (half < 0x7BFF) {
      ASSERT_EQ(scale_of(type_, std::nextafter(exact, FLT_MAX)), half + 1);
    }
  }
  EXPECT_EQ(scale_of(type_, kDenormal), 1);
  EXPECT_EQ(scale_of(type_, 0), 0);
}

TEST_P(EncodeIntegers, AreWithinHalfAScaleInEveryEncodingAtEveryMagnitude) {
  for (float magnitude : {1.0f, 1e-3f, largest_ * 65504.0f, 1e-4f, 1e-6f, 1e-30f, FLT_MIN, kDenormal}) {
    for (EncodingChoice encoding : kChoices) {
      ConvSource source = random_conv(19, 6, 3, {0.5, 16, 1}, magnitude);
      source.encoding = encoding;
      source.type = type_;
      source.bias.clear();
      const EncodedConv conv = encode(source);
      std::vector<double> error(source.weight.begin(), source.weight.end());
      const auto scale = [&](int o) {
        return double{float_from_half(detail::load<uint16_t>(conv.description.scale.data, o))};
      };
      for_each_weight(conv.description, [&](const Weight& w) {
        const auto at = static_cast<size_t>(((w.o * 6 + w.i) * 3 + w.y) * 3 + w.x);
        const double whole = std::nearbyint(double{w.value} / scale(w.o));
        if (scale(w.o) > 0) error[at] -= whole * scale(w.o);
      });
      for (size_t k = 0; k < error.size(); ++k) {
        // The quotient is rounded in double: it may cross a tie by as many units in its last place as it is large.
        const double bound = scale(static_cast<int>(k / 54)) * (0.5 + double{largest_} * DBL_EPSILON);
        ASSERT_LE(std::fabs(error[k]), bound) << "weight " << k << " of magnitude " << magnitude;
      }
    }
  }
}

TEST_P(EncodeIntegers, UseTheWholeRangeAndRoundTiesToEven) {
  // The scale is 1 exactly.
  const float most = largest_;
  const EncodedConv conv = encode(conv_of({-most, 0.5f, 1.5f, 2.5f, -2.5f, most - 0.4f}, type_));
  EXPECT_EQ(decode_dense(conv.description), (std::vector<float>{-most, 0, 2, 2, -2, most}));
}

TEST_P(EncodeIntegers, AChannelOfZerosIsZeros) {
  for (EncodingChoice encoding : kChoices) {
    ConvSource source = conv_of({1, 2, 3, 0, 0, 0}, type_);
    source.out_channels = 2;
    source.in_channels = 3;
    source.encoding = encoding;
    const EncodedConv conv = encode(source);
    EXPECT_EQ(detail::load<uint16_t>(conv.description.scale.data, 1), 0);
    const std::vector<float> dense = decode_dense(conv.description);
    EXPECT_EQ(std::vector<float>(dense.begin() + 3, dense.end()), (std::vector<float>{0, 0, 0}));
  }
}

TEST_P(EncodeIntegers, RefuseOverflow) {
  const float most = largest_ * kMaxHalf;
  EXPECT_EQ(refusal(conv_of({most}, type_)), "");
  for (float bad : {std::nextafter(most, FLT_MAX), -FLT_MAX}) {
    EXPECT_NE(refusal(conv_of({bad}, type_)).find(std::string(GetParam().name) + " holds up to "),
              std::string::npos);
  }
}

// The bytes of layout.h, by hand.
TEST(Encode, Int4IsTwoValuesAByteTheFirstInTheLowNibble) {
  ConvSource source = conv_of({-7, 1, -1, 7, 3}, WeightType::kI4);  // the scale is 1
  source.encoding = EncodingChoice::kDense;
  EXPECT_EQ(encode(source).payload, (std::vector<uint8_t>{0, 0, 0, 0, 0x00, 0x3C, 0, 0, 0x19, 0x7F, 0x03}));
  source = conv_of({0, -7, 0, 5}, WeightType::kI4);
  source.encoding = EncodingChoice::kSynapse;
  EXPECT_EQ(encode(source).payload,
            (std::vector<uint8_t>{0, 0, 0, 0, 0x00, 0x3C, 0, 0, 0b1010, 0, 0, 0, 0x59}));
}

// Multiples of the scale, so that what comes back is what went in. Odd and even numbers of values.
TEST(Encode, Int4ValuesComeBackInEveryEncoding) {
  for (int inputs = 1; inputs <= 8; ++inputs) {
    for (const Sparsity& sparsity : kSparsities) {
      for (EncodingChoice encoding : kChoices) {
        ConvSource source = random_conv(19, inputs, 3, sparsity);
        for (float& weight : source.weight) weight = std::nearbyint(weight * 7);
        for (int o = 0; o < 19; ++o) source.weight[static_cast<size_t>(o * inputs * 9)] = o % 2 == 0 ? 7 : -7;
        source.encoding = encoding;
        source.type = WeightType::kI4;
        const EncodedConv conv = encode(source);
        ASSERT_EQ(decode_dense(conv.description), source.weight);
        const auto stored = static_cast<size_t>(stored_weights(conv.description));
        ASSERT_EQ(conv.description.values.size, stored / 2 + stored % 2);
      }
    }
  }
}

size_t size_in_file(const EncodedConv& conv) {
  return conv.compressed.empty() ? conv.payload.size() : conv.compressed.size();
}

TEST(Encode, SmallestIsTheSmallestOfTheFour) {
  for (WeightType type : kTypes) {
    for (const Sparsity& sparsity : kSparsities) {
      for (bool compress : {false, true}) {
        ConvSource source = random_conv(40, 9, 3, sparsity);
        source.type = type;
        source.compress = compress;
        std::vector<size_t> sizes;
        for (EncodingChoice encoding : kChoices) {
          source.encoding = encoding;
          sizes.push_back(size_in_file(encode(source)));
        }
        source.encoding = EncodingChoice::kSmallest;
        const EncodedConv smallest = encode(source);
        const auto first = std::min_element(sizes.begin(), sizes.end());
        EXPECT_EQ(size_in_file(smallest), *first);
        EXPECT_EQ(static_cast<int>(smallest.description.encoding), first - sizes.begin());
      }
    }
  }
}

TEST(Encode, SmallestIsTheFirstOfEqualOnes) {
  // Behind bias and scale, each padded: 8 values dense; sparse 1 byte of occupancy, 3 of padding, 4 values.
  ConvSource source = conv_of({1, 2, 3, 4, 0, 0, 0, 0}, WeightType::kI8);
  source.compress = false;
  for (EncodingChoice encoding : kChoices) {
    source.encoding = encoding;
    EXPECT_EQ(encode(source).payload.size(), 4u + 4u + 8u);
  }
  source.encoding = EncodingChoice::kSmallest;
  EXPECT_EQ(encode(source).description.encoding, WeightEncoding::kDense);
}

// Otherwise the test above would pass with an encoder that always says "dense".
TEST(Encode, EachEncodingIsTheSmallestSomewhere) {
  const auto choose = [](const Sparsity& sparsity) {
    return encode(random_conv(64, 16, 3, sparsity)).description.encoding;
  };
  EXPECT_EQ(choose({1, 1, 1}), WeightEncoding::kDense);
  EXPECT_EQ(choose({0.3, 16, 1}), WeightEncoding::kCluster16x1);
  EXPECT_EQ(choose({0.3, 16, 4}), WeightEncoding::kCluster16x4);
  EXPECT_EQ(choose({0.2, 1, 1}), WeightEncoding::kSynapse);
}

TEST(Encode, AWeightThatTheTypeRoundsToZeroIsNotStored) {
  for (WeightType type : {WeightType::kF16, WeightType::kI8, WeightType::kI4}) {
    ConvSource source = conv_of({1, 1e-9f, 1, 0}, type);
    source.encoding = EncodingChoice::kSynapse;
    EXPECT_EQ(stored_weights(encode(source).description), 2);
  }
}

TEST(Encode, NoBiasMeansZeros) {
  EXPECT_EQ(decode_bias(encode(conv_of({1, 2}, WeightType::kF32)).description), std::vector<float>{0});
}

TEST(Encode, AnAbsentConvHasNoPayload) {
  ConvSource source;
  source.in_channels = 8;
  source.type = WeightType::kI8;
  source.encoding = EncodingChoice::kCluster16x4;
  source.activation = {1, 3};
  const EncodedConv conv = encode(source);
  EXPECT_TRUE(conv.payload.empty());
  EXPECT_EQ(conv.description.encoding, WeightEncoding::kDense);
  EXPECT_EQ(conv.description.type, WeightType::kF32);
  EXPECT_EQ(conv.description.activation, Quantisation{});
  EXPECT_TRUE(decode_dense(conv.description).empty());
  EXPECT_EQ(count_live_clusters(conv.description), 0);
}

TEST(Encode, TheSpansOutliveAMove) {
  EncodedConv conv = encode(conv_of({1, 2, 3}, WeightType::kF32));
  const EncodedConv moved = std::move(conv);
  EXPECT_EQ(decode_dense(moved.description), (std::vector<float>{1, 2, 3}));
}

TEST(Encode, RefusesSizesThatDoNotAgree) {
  ConvSource source = conv_of({1, 2, 3}, WeightType::kF32);
  source.in_channels = 4;
  EXPECT_EQ(refusal(source), "conv: weight has 3 values, 1 x 4 x 1 x 1 need 4");
  source = conv_of({1, 2, 3}, WeightType::kF32);
  source.bias = {1, 2};
  EXPECT_EQ(refusal(source), "conv: bias has 2 values for 1 output channels");
}

TEST(Encode, RefusesShapesBeyondTheFormat) {
  const ConvSource good = conv_of({1}, WeightType::kF32);
  ConvSource source = good;
  source.out_channels = 65536;
  EXPECT_NE(refusal(source).find("out_channels is 65536, must be 0 to 65535"), std::string::npos);
  source = good;
  source.in_channels = 0;
  EXPECT_NE(refusal(source).find("in_channels is 0, must be 1 to 65535"), std::string::npos);
  source = good;
  source.window.kernel_h = 256;
  EXPECT_NE(refusal(source).find("kernel_h is 256, must be 1 to 255"), std::string::npos);
  source = good;
  source.window.kernel_w = 0;
  EXPECT_NE(refusal(source).find("kernel_w is 0, must be 1 to 255"), std::string::npos);
}

TEST(Encode, RefusesWhatIsNotFinite) {
  for (WeightType type : kTypes) {
    for (float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                      std::numeric_limits<float>::quiet_NaN()}) {
      EXPECT_NE(refusal(conv_of({1, 2, bad}, type)).find("weight 2 is"), std::string::npos);
      ConvSource source = conv_of({1}, type);
      source.bias = {bad};
      EXPECT_NE(refusal(source).find("bias 0 is"), std::string::npos);
    }
  }
}

TEST(Encode, RefusesF16Overflow) {
  EXPECT_EQ(refusal(conv_of({1, 65519}, WeightType::kF16)), "");
  EXPECT_EQ(refusal(conv_of({1, 65520}, WeightType::kF16)),
            "conv: weight 1 is 65520, must be below 65520 in magnitude to be stored as f16");
  EXPECT_NE(refusal(conv_of({-1e9f}, WeightType::kF16)), "");
}

TEST(Encode, RefusesBiasesThatF16CannotHold) {
  for (WeightType type : {WeightType::kF16, WeightType::kI8, WeightType::kI4}) {
    ConvSource source = conv_of({1}, type);
    source.bias = {65519};
    EXPECT_EQ(refusal(source), "");
    source.bias = {-65520};
    EXPECT_EQ(refusal(source),
              "conv: bias 0 is -65520, must be below 65520 in magnitude to be stored as f16");
    source.type = WeightType::kF32;
    EXPECT_EQ(refusal(source), "");
  }
}

}  // namespace
}  // namespace squish
