// Writes .squish files. Called by the bindings (squish convert, train, evolve) and by tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/description.h"

namespace squish {

// How a conv's weights are to be stored.
enum class EncodingChoice : uint8_t { kSmallest, kDense, kCluster16x1, kCluster16x4, kSynapse };

// A conv before it is encoded: weights as PyTorch has them.
struct ConvSource {
  int out_channels = 0, in_channels = 0;
  Window window;
  bool relu = false;
  Quantisation activation;    // of its input
  std::vector<float> weight;  // [O][I][H][W], finite
  std::vector<float> bias;    // [O], finite; empty: zeros
  WeightType type = WeightType::kF32;
  EncodingChoice encoding = EncodingChoice::kSmallest;
  bool compress = true;  // integer types, where that takes fewer bytes
};

// An encoded conv that owns its bytes; `description`'s spans point into `payload` and `compressed`. Moves, but does not copy: the
// spans of a copy would point into the original.
struct EncodedConv {
  EncodedConv() = default;
  EncodedConv(EncodedConv&&) = default;
  EncodedConv& operator=(EncodedConv&&) = default;

  ConvDescription description;
  std::vector<uint8_t> payload;     // as it is without compression
  std::vector<uint8_t> compressed;  // empty, or what the file holds instead
};

// Encodes one conv. kSmallest takes the encoding with the fewest bytes (the first named in WeightEncoding on a tie),
// compression included.
// A weight lives if it is not zero in its stored type; a sparse encoding drops the sign of a zero.
// kF16: round to nearest even. kI8: scale[o] is the smallest f16 from max|w[o]| / 127 on, and value = round to
// nearest even(w / scale), so that |value| <= 127 and |scale * value - w| <= scale / 2. kI4: the same with 7 instead
// of 127. Biases of all three: f16, round to nearest even.
// out_channels 0 (one expand of a Fire that evolution took away) gives a conv without payload.
// Throws InvalidArgument on sizes that do not agree, on values that are not finite, and where the type cannot
// hold a weight or a bias (kF16 and all biases but those of kF32: from 65520; weights of kI8: above 127 * 65504, of
// kI4: above 7 * 65504).
EncodedConv encode(const ConvSource& source);

// The bytes of the file that says `net`. write(parse(bytes)) == bytes for every file without optional sections
// that parse() does not know, which it drops.
// Throws InvalidArgument where `net` breaks a rule of layout.h.
std::vector<uint8_t> write(const NetDescription& net);

}  // namespace squish
