// Compressed payloads: they hold what the plain ones do, and a reader refuses what a writer does not make.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "format/compression.h"
#include "format/parse.h"
#include "format/weights.h"
#include "format/write.h"
#include "format_file.h"
#include "golden_net.h"
#include "squish/error.h"

namespace squish {
namespace {

using testing::Bytes;
using testing::FileParts;
using testing::golden_compressed_file;
using testing::rejects;

constexpr WeightType kIntegers[] = {WeightType::kI8, WeightType::kI4};
constexpr EncodingChoice kChoices[] = {EncodingChoice::kDense, EncodingChoice::kCluster16x1,
                                       EncodingChoice::kCluster16x4, EncodingChoice::kSynapse,
                                       EncodingChoice::kSmallest};

// Normal weights, as training leaves them; clusters of 16 x 1 live with this density.
ConvSource normal_conv(int out, int in, int kernel, double density, WeightType type) {
  ConvSource source;
  source.out_channels = out;
  source.in_channels = in;
  source.window.kernel_h = source.window.kernel_w = kernel;
  source.type = type;
  std::mt19937 random(static_cast<uint32_t>(out * 1000 + in * 10 + kernel));
  std::normal_distribution<float> value(0, 0.1f);
  std::bernoulli_distribution lives(density);
  std::vector<bool> alive(static_cast<size_t>(in * kernel * kernel));
  for (int o = 0; o < out; ++o) {
    for (size_t k = 0; k < alive.size(); ++k) {
      if (o % kClusterRows == 0) alive[k] = lives(random);
      source.weight.push_back(alive[k] ? value(random) : 0);
    }
    source.bias.push_back(value(random));
  }
  return source;
}

TEST(Compression, PayloadsComeBack) {
  for (WeightType type : kIntegers)
    for (EncodingChoice encoding : kChoices)
      for (double density : {0.0, 0.1, 1.0})
        for (int out : {1, 15, 16, 33, 80})
          for (int in : {1, 5, 48}) {
            ConvSource source = normal_conv(out, in, 3, density, type);
            source.encoding = encoding;
            source.compress = false;
            const EncodedConv plain = encode(source);
            ASSERT_FALSE(plain.description.is_compressed());
            const Bytes compressed = compress_payload(plain.description);
            ConvDescription fields = plain.description;
            fields.occupancy = fields.values = fields.bias = fields.scale = {};
            const ByteReader nowhere({}, 0, "test");
            if (!may_expand(plain.payload.size(), compressed.size())) continue;
            EXPECT_EQ(decompress_payload({compressed.data(), compressed.size()}, fields, nowhere),
                      plain.payload)
                << out << "x" << in << ", density " << density;
          }
}

// What makes compression worth it: normal int4 weights have about 3.3 bits.
TEST(Compression, TakesASixthOffNormalInt4Weights) {
  const EncodedConv conv = encode(normal_conv(80, 32, 3, 0.5, WeightType::kI4));
  ASSERT_TRUE(conv.description.is_compressed());
  EXPECT_LT(conv.description.payload_bytes(), 0.87 * static_cast<double>(conv.payload.size()));
  EXPECT_EQ(conv.description.payload_bytes(), conv.compressed.size());
}

// Half of the uniform bits of random int8 values cannot go: no byte is won, and none is spent.
TEST(Compression, IsChosenWhereItIsLess) {
  std::mt19937 random(3);
  ConvSource source = normal_conv(64, 64, 1, 1, WeightType::kI8);
  for (float& weight : source.weight) weight = static_cast<float>(static_cast<int>(random() % 255) - 127);
  for (float& bias : source.bias) bias = static_cast<float>(random() % 60000);
  const EncodedConv uniform = encode(source);
  EXPECT_LE(uniform.description.payload_bytes(), uniform.payload.size());
  for (WeightType type : {WeightType::kF32, WeightType::kF16}) {
    source.type = type;
    EXPECT_FALSE(encode(source).description.is_compressed());
  }
  ConvSource asked = normal_conv(80, 32, 3, 0.5, WeightType::kI4);
  asked.compress = false;
  EXPECT_FALSE(encode(asked).description.is_compressed());
}

// Weights that are all alike would take next to no bytes: a file must not ask for more memory than 4 times its own.
TEST(Compression, IsNotChosenWhereItWouldExpandTooMuch) {
  ConvSource source = normal_conv(64, 1024, 1, 1, WeightType::kI8);
  for (float& weight : source.weight) weight = 1;
  source.encoding = EncodingChoice::kDense;
  const EncodedConv conv = encode(source);
  EXPECT_FALSE(conv.description.is_compressed());
  EXPECT_FALSE(may_expand(conv.payload.size(), compress_payload(conv.description).size()));
}

// Positions in a conv record, and records of the golden net: i4, i8, f16, i4, i8.
constexpr size_t kCompressionAt = 15, kOffsetAt = 24, kBytesAt = 32, kConvs = 5, kF16Conv = 2;

FileParts golden_with(size_t conv, uint8_t compression) {
  FileParts file(golden_compressed_file());
  file.set_conv(conv, kCompressionAt, compression);
  return file;
}

TEST(Compression, GoldenIntegersAreCompressed) {
  FileParts file(golden_compressed_file());
  for (size_t k = 0; k < kConvs; ++k) {
    EXPECT_EQ(file.conv<uint8_t>(k, kCompressionAt), k == kF16Conv ? 0 : 1) << k;
  }
  EXPECT_LT(golden_compressed_file().size(), testing::golden_int4_file().size());
}

TEST(Compression, RefusesKindsThatThereAreNot) {
  EXPECT_TRUE(rejects(golden_with(0, 2), "compression is 2, must be 0 to 1"));
  EXPECT_TRUE(rejects(golden_with(kF16Conv, 1), "compression is 1, must be 0"));
  FileParts f32(testing::golden_file());
  f32.set_conv(0, kCompressionAt, uint8_t{1});
  EXPECT_TRUE(rejects(f32, "compression is 1, must be 0"));
  FileParts absent(testing::golden_file());
  absent.set_conv(12, kCompressionAt, uint8_t{1});
  EXPECT_TRUE(rejects(absent, "compression is 1, must be 0"));
}

TEST(Compression, RefusesCompressedBytesAsPlainOnes) {
  EXPECT_NE(testing::load_error(golden_with(0, 0).assemble(), true), "");
}

// All but those whose low byte of a bias or scale is another one: these are equally likely and so stay themselves.
TEST(Compression, RefusesMostChangedStreams) {
  const FileParts golden(golden_compressed_file());
  const auto bytes = static_cast<size_t>(FileParts(golden).conv<uint64_t>(0, kBytesAt));
  size_t refused = 0;
  for (size_t k = 0; k < bytes; ++k) {
    FileParts file = golden;
    file[SectionKind::kWeights][k] ^= 0x10;
    refused += testing::load_error(file.assemble(), true).empty() ? 0 : 1;
  }
  EXPECT_GE(refused, bytes - bytes / 5);
  FileParts file = golden;
  file[SectionKind::kWeights][bytes / 2] ^= 0x10;
  EXPECT_TRUE(
      rejects(file, "layer 0 'conv1': conv 0 (conv): compressed payload is not one that a writer makes"));
}

// The payload of one conv, replaced, with all that follows moved.
FileParts golden_with_stream(const Bytes& stream) {
  FileParts file(golden_compressed_file());
  Bytes& weights = file[SectionKind::kWeights];
  const auto old = static_cast<std::ptrdiff_t>(file.conv<uint64_t>(0, kBytesAt));
  Bytes changed = stream;
  // The next payload is compressed, too, and follows at once; the one behind it is not, and is aligned.
  const auto second = static_cast<std::ptrdiff_t>(file.conv<uint64_t>(1, kBytesAt));
  changed.insert(changed.end(), weights.begin() + old, weights.begin() + old + second);
  const auto third = static_cast<std::ptrdiff_t>(file.conv<uint64_t>(2, kOffsetAt));
  const auto moved = (static_cast<std::ptrdiff_t>(changed.size()) + 15) / 16 * 16 - third;
  changed.resize(static_cast<size_t>(third + moved));
  changed.insert(changed.end(), weights.begin() + third, weights.end());
  weights = changed;
  file.set_conv(0, kBytesAt, uint64_t{stream.size()});
  file.set_conv(1, kOffsetAt, uint64_t{stream.size()});
  for (size_t k = 2; k < kConvs; ++k) {
    file.set_conv(
        k, kOffsetAt,
        static_cast<uint64_t>(static_cast<std::ptrdiff_t>(file.conv<uint64_t>(k, kOffsetAt)) + moved));
  }
  return file;
}

TEST(Compression, RefusesValuesThatThePlainPayloadMayNotHave) {
  const std::vector<testing::LayerSource> layers = testing::golden_compressed_layers();
  const EncodedConv conv = encode(layers[0].convs[0]);
  ConvDescription bad = conv.description;
  EXPECT_EQ(testing::load_error(golden_with_stream(compress_payload(bad)).assemble(), true), "");

  Bytes values(bad.values.data, bad.values.data + bad.values.size);
  values[3] = static_cast<uint8_t>((values[3] & 0x0F) | 0x80);
  bad.values.data = values.data();
  EXPECT_TRUE(rejects(golden_with_stream(compress_payload(bad)),
                      "decompressed payload: value 7 is -8, must be -7 to 7"));
  bad = conv.description;
  Bytes bias(bad.bias.data, bad.bias.data + bad.bias.size);
  bias[1] = 0x7C;
  bad.bias.data = bias.data();
  EXPECT_TRUE(rejects(golden_with_stream(compress_payload(bad)), "decompressed payload: bias 0 is"));
}

TEST(Compression, RefusesStreamsThatAreTooShortForWhatTheyHold) {
  EXPECT_TRUE(rejects(golden_with_stream({0x00, 0x80, 0x00, 0x00}),
                      "compressed payload has 4 bytes for 264, must not be less than a 4th"));
  EXPECT_TRUE(rejects(golden_with_stream(Bytes(66, 0x01)), "compressed payload has 66 bytes for 1142"));
}

TEST(Compression, WriteRefusesStreamsOfOtherParts) {
  const Bytes file = golden_compressed_file();
  NetDescription net = parse({file.data(), file.size()});
  ConvDescription& conv = net.layers[0].convs[0];
  const Bytes other(conv.values.size, 0x11);
  conv.values.data = other.data();
  try {
    write(net);
    FAIL() << "written";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(
        std::string(error.what()).find("conv 0: the parts of its payload are not those that are compressed"),
        std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace squish
