// Entropy coding of bits by asymmetric numeral systems (rANS; Duda, arXiv 1311.2540) with probabilities that adapt:
// a bit that was to be expected takes less than a bit of the file.
//
// The coder's state is a number of [L, 256 L), L = kLowestAnsState. Coding a symbol of probability frequency / 2^bits makes it
// larger by that factor's inverse, and lowest bytes are moved to the file where it would leave the range. The decoder
// takes the same steps backwards; so an encoder begins with the last symbol. A stream is its first bytes, the state, and
// then those bytes. Decoders begin from any state and end at L if, and only if, the stream is the encoder's: each
// sequence of symbols has exactly one.
#pragma once

#include <cstdint>
#include <vector>

#include "format/description.h"

namespace squish {

// How likely the next bit is a one, learnt from those before it. The first bits count most: the n-th moves the
// probability about 1/n of its way, from the 63rd on 1/128.
class AdaptiveBit {
 public:
  static constexpr int kPrecision = 15;

  uint32_t one() const { return one_; }  // in 2^kPrecision; at least 1 and at most 2^kPrecision - 1

  // Of the other value's probability it takes a share. No branch on the bit: nobody can predict it.
  void learn(bool bit) {
    const uint32_t all = 1u << kPrecision, other = bit ? all - one_ : one_, change = other >> rate_;
    one_ = static_cast<uint16_t>(bit ? one_ + change : one_ - change);
    if (rate_ == kSlowest || --left_ > 0) return;
    left_ = static_cast<uint8_t>(1u << rate_);
    ++rate_;
  }

 private:
  static constexpr int kSlowest = 7;

  uint16_t one_ = 1u << (kPrecision - 1);
  uint8_t rate_ = 1, left_ = 1;  // bits until the next rate
};

inline constexpr uint32_t kLowestAnsState = 1u << 23;

// Encoder and decoder have the same calls, so that an order of symbols is said once for both: the encoder codes what it
// is given, the decoder puts there what it finds.

class AnsEncoder {
 public:
  void code(AdaptiveBit& model, bool& bit);
  void code_byte(uint8_t& byte);  // with equal probabilities

  // The stream of all symbols so far.
  std::vector<uint8_t> finish() const;

 private:
  struct Step {
    uint16_t start, frequency;
    int bits;
  };
  void push(uint32_t start, uint32_t frequency, int bits);

  std::vector<Step> steps_;
};

class AnsDecoder {
 public:
  // Behind the stream's end there are zeros: what is decoded then is nothing that was encoded.
  explicit AnsDecoder(ByteSpan stream);

  void code(AdaptiveBit& model, bool& bit) {
    const uint32_t one = model.one(), all = 1u << AdaptiveBit::kPrecision;
    bit = (state_ & (all - 1)) < one;
    advance(bit ? 0 : one, bit ? one : all - one, AdaptiveBit::kPrecision);
    model.learn(bit);
  }

  void code_byte(uint8_t& byte) {
    byte = static_cast<uint8_t>(state_);
    advance(byte, 1, 8);
  }

  // Whether the symbols that were decoded are all of a stream that an encoder made.
  bool finished() const;

 private:
  uint8_t next() {
    const size_t at = at_++;
    return at < stream_.size ? stream_.data[at] : uint8_t{0};
  }

  void advance(uint32_t start, uint32_t frequency, int bits) {
    state_ = frequency * (state_ >> bits) + (state_ & ((1u << bits) - 1)) - start;
    while (state_ < kLowestAnsState) {
      state_ = state_ << 8 | next();
      if (at_ > stream_.size) return;  // a state of 0 would stay one
    }
  }

  ByteSpan stream_;
  size_t at_ = 0;  // counts on behind the end
  uint32_t state_ = 0;
  bool began_well_;
};

// Numbers of kBits bits, from the highest bit on: how likely a bit is depends on those above it.
template <int kBits>
class AdaptiveNumber {
 public:
  template <typename Coder>
  void code(Coder& coder, unsigned& number) {
    unsigned node = 1;
    for (int k = kBits - 1; k >= 0; --k) {
      bool bit = (number >> k & 1) != 0;
      coder.code(bits_[node], bit);
      node = 2 * node + (bit ? 1 : 0);
    }
    number = node - (1u << kBits);
  }

 private:
  AdaptiveBit bits_[1u << kBits];  // a binary tree, its root at 1
};

}  // namespace squish
