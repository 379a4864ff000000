#include "format/compression.h"

#include "format/ans.h"
#include "format/cluster.h"
#include "memory_size.h"

namespace squish {
namespace {

// f16 numbers of one kind: signs, exponents and the first two bits of mantissas are alike, other bits are not.
template <typename Coder>
void code_halves(Coder& coder, uint8_t* halves, size_t bytes) {
  AdaptiveNumber<8> high;
  for (size_t k = 0; k < bytes; k += 2) {
    coder.code_byte(halves[k]);
    unsigned byte = halves[k + 1];
    high.code(coder, byte);
    halves[k + 1] = static_cast<uint8_t>(byte);
  }
}

template <typename Coder>
void code_occupancy(Coder& coder, uint8_t* occupancy, uint64_t clusters) {
  AdaptiveBit model;
  for (uint64_t k = 0; k < clusters; ++k) {
    uint8_t& byte = occupancy[k / 8];
    bool lives = (byte >> k % 8 & 1) != 0;
    coder.code(model, lives);
    if (lives) byte = static_cast<uint8_t>(byte | 1u << k % 8);
  }
}

// Numbers from 0 on, which two's complement with its highest bit flipped is.
template <typename Coder>
void code_int8(Coder& coder, uint8_t* values, uint64_t count) {
  AdaptiveNumber<8> model;
  for (uint64_t k = 0; k < count; ++k) {
    unsigned number = values[k] ^ 0x80u;
    model.code(coder, number);
    values[k] = static_cast<uint8_t>(number ^ 0x80u);
  }
}

template <typename Coder>
void code_int4(Coder& coder, uint8_t* values, uint64_t count) {
  AdaptiveNumber<4> model;
  for (uint64_t k = 0; k < count; ++k) {
    uint8_t& byte = values[k / 2];
    const unsigned shift = k % 2 == 0 ? 0 : 4;
    unsigned number = (byte >> shift & 0xFu) ^ 0x8u;
    model.code(coder, number);
    byte = static_cast<uint8_t>((byte & ~(0xFu << shift)) | (number ^ 0x8u) << shift);
  }
}

template <typename Coder>
void code_values(Coder& coder, WeightType type, uint8_t* values, uint64_t count) {
  if (type == WeightType::kI4) {
    code_int4(coder, values, count);
  } else {
    code_int8(coder, values, count);
  }
}

uint64_t clusters_of(const ConvDescription& conv) {
  if (conv.encoding == WeightEncoding::kDense) return 0;
  return static_cast<uint64_t>(cluster_count(conv, cluster_size(conv.encoding)));
}

constexpr uint64_t aligned(uint64_t bytes) {
  return (bytes + kPartAlignment - 1) / kPartAlignment * kPartAlignment;
}

}  // namespace

std::vector<uint8_t> compress_payload(const ConvDescription& conv) {
  const auto copy = [](ByteSpan part) { return std::vector<uint8_t>(part.data, part.data + part.size); };
  std::vector<uint8_t> bias = copy(conv.bias), scale = copy(conv.scale), occupancy = copy(conv.occupancy),
                       values = copy(conv.values);
  AnsEncoder coder;
  code_halves(coder, bias.data(), bias.size());
  code_halves(coder, scale.data(), scale.size());
  code_occupancy(coder, occupancy.data(), clusters_of(conv));
  code_values(coder, conv.type, values.data(), static_cast<uint64_t>(stored_weights(conv)));
  return coder.finish();
}

std::vector<uint8_t> decompress_payload(ByteSpan compressed, const ConvDescription& conv,
                                        const ByteReader& payload) {
  const auto check_size = [&](uint64_t plain) {
    if (may_expand(plain, compressed.size)) return;
    payload.fail(concat("compressed payload has ", compressed.size, " bytes for ", plain,
                        ", must not be less than a ", kMaxExpansion, "th"));
  };
  const uint64_t clusters = clusters_of(conv);
  const uint64_t halves = channel_type_bytes(conv.type) * static_cast<uint64_t>(conv.out_channels);
  const uint64_t scale_at = aligned(halves), occupancy_at = 2 * scale_at;
  const uint64_t values_at = occupancy_at + aligned((clusters + 7) / 8);
  check_size(values_at);
  std::vector<uint8_t> plain(memory_size<uint8_t>(values_at));
  AnsDecoder coder(compressed);
  code_halves(coder, plain.data(), static_cast<size_t>(halves));
  code_halves(coder, plain.data() + scale_at, static_cast<size_t>(halves));
  code_occupancy(coder, plain.data() + occupancy_at, clusters);

  ConvDescription occupied = conv;
  occupied.occupancy = {plain.data() + occupancy_at, static_cast<size_t>((clusters + 7) / 8)};
  const auto count = static_cast<uint64_t>(stored_weights(occupied));
  check_size(values_at + values_bytes(conv.type, count));
  plain.resize(memory_size<uint8_t>(values_at + values_bytes(conv.type, count)));
  code_values(coder, conv.type, plain.data() + values_at, count);
  if (!coder.finished()) payload.fail("compressed payload is not one that a writer makes");
  return plain;
}

}  // namespace squish
