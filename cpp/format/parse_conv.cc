#include <cfloat>

#include "format/cluster.h"
#include "format/compression.h"
#include "format/half.h"
#include "format/parse_layers.h"

namespace squish {
namespace {

float to_float(float value) { return value; }
float to_float(uint16_t half) { return float_from_half(half); }

// The numbers of the part that was taken last: floats, or the bits of halves.
template <typename T>
void check_numbers(const ByteReader& payload, ByteSpan part, const char* what, float low, float high) {
  const size_t begin = payload.position() - part.size;
  for (size_t at = 0; at < part.size; at += sizeof(T)) {
    T bits;
    std::memcpy(&bits, part.data + at, sizeof bits);
    const float value = to_float(bits);
    if (value >= low && value <= high) continue;
    payload.fail_at(begin + at,
                    concat(what, " ", at / sizeof(T), " is ", value, ", must be from ", low, " to ", high));
  }
}

void check_floats(const ByteReader& payload, ByteSpan floats, const char* what) {
  check_numbers<float>(payload, floats, what, -FLT_MAX, FLT_MAX);
}

void check_halves(const ByteReader& payload, ByteSpan halves, const char* what) {
  check_numbers<uint16_t>(payload, halves, what, -kMaxHalf, kMaxHalf);
}

void check_int8(const ByteReader& payload, ByteSpan bytes) {
  constexpr uint8_t kLowest = 0x80;
  if (bytes.size == 0) return;
  const void* found = std::memchr(bytes.data, kLowest, bytes.size);
  if (found == nullptr) return;
  const auto index = static_cast<size_t>(static_cast<const uint8_t*>(found) - bytes.data);
  payload.fail_at(payload.position() - bytes.size + index,
                  concat("value ", index, " is -128, must be -127 to 127"));
}

void check_int4(const ByteReader& payload, ByteSpan bytes, uint64_t count) {
  const size_t begin = payload.position() - bytes.size;
  for (uint64_t k = 0; k < count; ++k) {
    if (load_int4(bytes.data, static_cast<int64_t>(k)) != -8) continue;
    payload.fail_at(begin + static_cast<size_t>(k / 2), concat("value ", k, " is -8, must be -7 to 7"));
  }
  if (count % 2 != 0 && bytes.data[bytes.size - 1] >> 4 != 0) {
    payload.fail_at(begin + bytes.size - 1,
                    concat("spare nibble of the values' last byte is ", bytes.data[bytes.size - 1] >> 4,
                           ", must be 0, there are ", count, " values"));
  }
}

ByteSpan read_occupancy(ByteReader& payload, const ConvDescription& conv) {
  const auto clusters = static_cast<uint64_t>(cluster_count(conv, cluster_size(conv.encoding)));
  const ByteSpan occupancy = payload.take((clusters + 7) / 8, "occupancy");
  const uint64_t used_bits = clusters % 8;
  if (used_bits != 0 && occupancy.data[occupancy.size - 1] >> used_bits != 0) {
    payload.fail(
        concat("spare bits of the occupancy's last byte must be 0, there are ", clusters, " clusters"));
  }
  return occupancy;
}

void read_values(ByteReader& payload, ConvDescription& conv) {
  const auto stored = static_cast<uint64_t>(stored_weights(conv));
  conv.values = payload.take(values_bytes(conv.type, stored), "values");
  if (conv.type == WeightType::kF32) check_floats(payload, conv.values, "value");
  if (conv.type == WeightType::kF16) check_halves(payload, conv.values, "value");
  if (conv.type == WeightType::kI8) check_int8(payload, conv.values);
  if (conv.type == WeightType::kI4) check_int4(payload, conv.values, stored);
}

void read_payload(ByteReader payload, ConvDescription& conv) {
  const uint64_t channel_bytes = channel_type_bytes(conv.type) * static_cast<uint64_t>(conv.out_channels);
  conv.bias = payload.take(channel_bytes, "bias");
  if (conv.type == WeightType::kF32) {
    check_floats(payload, conv.bias, "bias");
  } else {
    check_halves(payload, conv.bias, "bias");
  }
  payload.skip_padding(kPartAlignment);
  if (has_scale(conv.type)) {
    conv.scale = payload.take(channel_bytes, "scale");
    check_numbers<uint16_t>(payload, conv.scale, "scale", 0, kMaxHalf);
    payload.skip_padding(kPartAlignment);
  }
  if (conv.encoding != WeightEncoding::kDense) {
    conv.occupancy = read_occupancy(payload, conv);
    payload.skip_padding(kPartAlignment);
  }
  read_values(payload, conv);
  payload.expect_end();
}

void read_compressed(ByteReader payload, ConvDescription& conv) {
  const ByteSpan compressed = payload.take(payload.left(), "compressed payload");
  auto plain = std::make_shared<const std::vector<uint8_t>>(decompress_payload(compressed, conv, payload));
  ByteReader parts({plain->data(), plain->size()}, 0, "decompressed payload");
  parts.set_place(concat(payload.place(), ": decompressed payload"));
  read_payload(std::move(parts), conv);
  conv.compressed = compressed;
  conv.decompressed = std::move(plain);
}

Compression read_compression(ByteReader& convs, const ConvDescription& conv) {
  const bool allowed = conv.out_channels != 0 && has_scale(conv.type);
  return static_cast<Compression>(convs.read_int<uint8_t>(
      "compression", 0, static_cast<int>(allowed ? Compression::kAns : Compression::kNone)));
}

Quantisation read_activation(ByteReader& convs, bool absent) {
  Quantisation activation;
  activation.scale = convs.read<float>("activation_scale");
  const bool in_range =
      activation.scale >= kMinActivationScale && activation.scale <= kMaxActivationScale && !absent;
  if (activation.scale != 0 && !in_range) {
    convs.fail(concat("activation_scale is ", activation.scale, ", must be 0",
                      absent ? " for an absent conv"
                             : concat(" or from ", kMinActivationScale, " to ", kMaxActivationScale)));
  }
  activation.zero = convs.read_int<uint8_t>("activation_zero", 0, activation.is_bytes() ? UINT8_MAX : 0);
  return activation;
}

struct Fields {
  ConvDescription conv;
  Compression compression;
};

// The record's fields up to the payload's.
Fields read_fields(ByteReader& convs, bool may_be_absent) {
  ConvDescription conv;
  conv.out_channels = convs.read_int<uint16_t>("out_channels", may_be_absent ? 0 : 1, UINT16_MAX);
  conv.in_channels = convs.read_int<uint16_t>("in_channels", 1, UINT16_MAX);
  conv.window = parse_window(convs);
  conv.relu = convs.read_int<uint8_t>("flags", 0, kFlagRelu) != 0;
  const bool absent = conv.out_channels == 0;
  conv.encoding = static_cast<WeightEncoding>(
      convs.read_int<uint8_t>("encoding", 0, absent ? 0 : static_cast<int>(WeightEncoding::kSynapse)));
  conv.type = static_cast<WeightType>(
      convs.read_int<uint8_t>("type", 0, absent ? 0 : static_cast<int>(WeightType::kI4)));
  const Compression compression = read_compression(convs, conv);
  conv.activation = read_activation(convs, absent);
  convs.skip_zeros(3, "reserved");
  return {std::move(conv), compression};
}

}  // namespace

ConvDescription parse_conv(ByteReader& convs, ByteReader& weights, bool may_be_absent) {
  auto [conv, compression] = read_fields(convs, may_be_absent);
  const bool absent = conv.out_channels == 0, compressed = compression == Compression::kAns;
  weights.set_place(convs.place());
  if (!absent && !compressed) weights.skip_padding(kPayloadAlignment);
  const uint64_t want = absent ? 0 : weights.position();
  const uint64_t offset = convs.read<uint64_t>("payload_offset");
  if (offset != want) convs.fail(concat("payload_offset is ", offset, ", must be ", want));
  const uint64_t bytes = convs.read<uint64_t>("payload_bytes");
  if (absent && bytes != 0) convs.fail(concat("payload_bytes is ", bytes, ", must be 0 for an absent conv"));
  if (absent) return std::move(conv);
  ByteReader payload = weights.take_part(bytes, "payload");
  if (compressed) {
    read_compressed(std::move(payload), conv);
  } else {
    read_payload(std::move(payload), conv);
  }
  return std::move(conv);
}

}  // namespace squish
