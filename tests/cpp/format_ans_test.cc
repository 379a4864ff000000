// The entropy coder: what comes out is what went in, in about as many bits as information theory asks for.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "format/ans.h"

namespace squish {
namespace {

using Bytes = std::vector<uint8_t>;

ByteSpan span(const Bytes& bytes) { return {bytes.data(), bytes.size()}; }

std::vector<bool> random_bits(size_t count, double ones, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::bernoulli_distribution bit(ones);
  std::vector<bool> bits(count);
  for (size_t k = 0; k < count; ++k) bits[k] = bit(random);
  return bits;
}

Bytes encode_bits(const std::vector<bool>& bits) {
  AnsEncoder encoder;
  AdaptiveBit model;
  for (bool bit : bits) encoder.code(model, bit);
  return encoder.finish();
}

// Decodes as many bits; whether the decoder finished then.
bool decode_bits(const Bytes& stream, std::vector<bool>& bits) {
  AnsDecoder decoder(span(stream));
  AdaptiveBit model;
  for (size_t k = 0; k < bits.size(); ++k) {
    bool bit = false;
    decoder.code(model, bit);
    bits[k] = bit;
  }
  return decoder.finished();
}

double entropy(double p) { return p <= 0 || p >= 1 ? 0 : -p * std::log2(p) - (1 - p) * std::log2(1 - p); }

TEST(Ans, BitsComeBackInAboutTheirEntropy) {
  for (double ones : {0.0, 0.001, 0.03, 0.2, 0.5, 0.9, 0.999, 1.0}) {
    for (size_t count : {0u, 1u, 2u, 7u, 100u, 4096u, 100000u}) {
      SCOPED_TRACE(::testing::Message() << count << " bits, " << ones << " of them ones");
      const std::vector<bool> bits = random_bits(count, ones);
      const Bytes stream = encode_bits(bits);
      std::vector<bool> decoded(count);
      EXPECT_TRUE(decode_bits(stream, decoded));
      EXPECT_EQ(decoded, bits);
      // 4 bytes of state; learning costs some bits and then some percent: a rate of 1/128 never settles.
      double information = 0;
      const auto n = static_cast<double>(count);
      for (bool bit : bits) information += bit ? 1 : 0;
      information = n * entropy(count == 0 ? 0 : information / n);
      EXPECT_LE(8.0 * static_cast<double>(stream.size()), 32 + 24 + 1.03 * information + 0.008 * n);
    }
  }
}

TEST(Ans, AStreamOfNothingIsTheState) {
  const Bytes stream = AnsEncoder().finish();
  EXPECT_EQ(stream, (Bytes{0x00, 0x80, 0x00, 0x00}));
  EXPECT_TRUE(AnsDecoder(span(stream)).finished());
}

TEST(Ans, BytesAndNumbersComeBackInAnyOrder) {
  std::mt19937 random(7);
  std::vector<unsigned> numbers(3000);
  for (unsigned& number : numbers) number = random() % 3 == 0 ? random() % 256 : 128;
  AnsEncoder encoder;
  AdaptiveNumber<8> model;
  for (unsigned number : numbers) {
    auto byte = static_cast<uint8_t>(number ^ 0x55);
    encoder.code_byte(byte);
    model.code(encoder, number);
  }
  const Bytes stream = encoder.finish();
  AnsDecoder decoder(span(stream));
  AdaptiveNumber<8> again;
  for (unsigned want : numbers) {
    uint8_t byte = 0;
    unsigned number = 0;
    decoder.code_byte(byte);
    again.code(decoder, number);
    ASSERT_EQ(byte, want ^ 0x55);
    ASSERT_EQ(number, want);
  }
  EXPECT_TRUE(decoder.finished());
}

TEST(Ans, ProbabilitiesStayWithinTheirRange) {
  for (bool bit : {false, true}) {
    AdaptiveBit model;
    for (int k = 0; k < 10000; ++k) {
      model.learn(bit);
      ASSERT_GE(model.one(), 1u);
      ASSERT_LT(model.one(), 1u << AdaptiveBit::kPrecision);
    }
    EXPECT_TRUE(bit ? model.one() > 32600 : model.one() < 168) << model.one();
  }
}

// Every sequence has one stream: no other bytes decode to it and finish.
TEST(Ans, OtherStreamsDoNotFinish) {
  const std::vector<bool> bits = random_bits(200, 0.3);
  const Bytes stream = encode_bits(bits);
  std::vector<bool> decoded(bits.size());
  for (size_t size = 0; size < stream.size(); ++size) {
    EXPECT_FALSE(
        decode_bits(Bytes(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(size)), decoded));
  }
  Bytes longer = stream;
  longer.push_back(0);
  EXPECT_FALSE(decode_bits(longer, decoded));
  for (size_t k = 0; k < stream.size(); ++k) {
    for (unsigned flip = 1; flip < 256; ++flip) {
      Bytes changed = stream;
      changed[k] = static_cast<uint8_t>(changed[k] ^ flip);
      // One that does finish is the stream of other bits.
      if (decode_bits(changed, decoded)) {
        EXPECT_EQ(encode_bits(decoded), changed);
        EXPECT_NE(decoded, bits);
      }
    }
  }
  // And with fewer or more symbols than there are.
  std::vector<bool> other(bits.size() - 1);
  EXPECT_FALSE(decode_bits(stream, other));
  other.resize(bits.size() + 40);
  EXPECT_FALSE(decode_bits(stream, other));
}

TEST(Ans, DecodesGarbageWithoutEnd) {
  for (const Bytes& garbage : {Bytes{}, Bytes(1), Bytes(4), Bytes(100), Bytes(100, 0xFF)}) {
    std::vector<bool> decoded(5000);
    EXPECT_FALSE(decode_bits(garbage, decoded));
  }
}

}  // namespace
}  // namespace squish
