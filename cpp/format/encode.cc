#include <cmath>
#include <type_traits>
#include <utility>

#include "float_environment.h"
#include "format/byte_writer.h"
#include "format/cluster.h"
#include "format/compression.h"
#include "format/half.h"
#include "format/write.h"

namespace squish {
namespace {

constexpr uint16_t kHalfInfinity = 0x7C00;

void check_range(const char* field, int value, int low, int high) {
  if (value >= low && value <= high) return;
  throw InvalidArgument(concat("conv: ", field, " is ", value, ", must be ", low, " to ", high));
}

void check_finite(const char* what, const std::vector<float>& values) {
  for (size_t k = 0; k < values.size(); ++k) {
    if (!std::isfinite(values[k])) {
      throw InvalidArgument(concat("conv: ", what, " ", k, " is ", values[k], ", must be finite"));
    }
  }
}

// The fields of the record, checked as far as the arithmetic here needs; write() checks the others.
ConvDescription describe(const ConvSource& source) {
  check_range("out_channels", source.out_channels, 0, UINT16_MAX);
  check_range("in_channels", source.in_channels, 1, UINT16_MAX);
  check_range("kernel_h", source.window.kernel_h, 1, UINT8_MAX);
  check_range("kernel_w", source.window.kernel_w, 1, UINT8_MAX);
  ConvDescription conv;
  conv.out_channels = source.out_channels;
  conv.in_channels = source.in_channels;
  conv.window = source.window;
  conv.relu = source.relu;
  if (source.out_channels == 0) return conv;
  conv.type = source.type;
  conv.activation = source.activation;
  return conv;
}

void check_sizes(const ConvSource& source, const ConvDescription& conv) {
  if (static_cast<int64_t>(source.weight.size()) != conv.weight_count()) {
    throw InvalidArgument(concat("conv: weight has ", source.weight.size(), " values, ", conv.out_channels,
                                 " x ", conv.in_channels, " x ", conv.window.kernel_h, " x ",
                                 conv.window.kernel_w, " need ", conv.weight_count()));
  }
  if (!source.bias.empty() && source.bias.size() != static_cast<size_t>(conv.out_channels)) {
    throw InvalidArgument(
        concat("conv: bias has ", source.bias.size(), " values for ", conv.out_channels, " output channels"));
  }
}

// What a payload holds, in its stored types. Weights are still in the order O, I, H, W.
template <typename T>
struct Quantized {
  using Channel = std::conditional_t<std::is_same_v<T, float>, float, uint16_t>;
  std::vector<Channel> bias;
  std::vector<uint16_t> scale;  // [O] of the integer types, otherwise empty
  std::vector<T> values;        // of int4 too, one in a byte
};

std::vector<float> bias_of(const ConvSource& source) {
  return source.bias.empty() ? std::vector<float>(static_cast<size_t>(source.out_channels)) : source.bias;
}

std::vector<uint16_t> to_halves(const char* what, const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  halves.reserve(values.size());
  for (float value : values) {
    const uint16_t half = half_from_float(value);
    if ((half & 0x7FFF) == kHalfInfinity) {
      throw InvalidArgument(concat("conv: ", what, " ", halves.size(), " is ", value,
                                   ", must be below 65520 in magnitude to be stored as f16"));
    }
    halves.push_back(half);
  }
  return halves;
}

// The smallest half with which the type's largest value reaches the largest magnitude. Halves below 2^-14 are coarse:
// rows of such little weights use less of the range.
uint16_t integer_scale(WeightType type, const float* weight, size_t count) {
  const auto levels = static_cast<float>(largest_value(type));
  float largest = 0;
  for (size_t k = 0; k < count; ++k) largest = std::max(largest, std::fabs(weight[k]));
  uint16_t scale = half_from_float(largest / levels);
  if (levels * float_from_half(scale) < largest) ++scale;  // the product is exact
  if (scale == kHalfInfinity) {
    throw InvalidArgument(concat("conv: a weight's magnitude is ", largest, ", ",
                                 type == WeightType::kI4 ? "i4" : "i8", " holds up to ", levels * kMaxHalf));
  }
  return scale;
}

Quantized<int8_t> quantize(const ConvSource& source) {
  Quantized<int8_t> result;
  result.bias = to_halves("bias", bias_of(source));
  result.values.reserve(source.weight.size());
  const size_t row = source.weight.size() / static_cast<size_t>(source.out_channels);
  for (size_t begin = 0; begin < source.weight.size(); begin += row) {
    result.scale.push_back(integer_scale(source.type, &source.weight[begin], row));
    const float scale = float_from_half(result.scale.back());
    for (size_t k = begin; k < begin + row; ++k) {
      const double value = scale == 0 ? 0 : std::nearbyint(double{source.weight[k]} / double{scale});
      result.values.push_back(static_cast<int8_t>(value));
    }
  }
  return result;
}

bool is_zero(float value) { return value == 0; }
bool is_zero(uint16_t half) { return (half & 0x7FFF) == 0; }
bool is_zero(int8_t value) { return value == 0; }

// Calls visit(T) for the weights of one cluster in the file's order.
template <typename T, typename Visit>
void for_each_in(const Cluster& c, const ConvDescription& conv, const std::vector<T>& values, Visit&& visit) {
  for (int o = c.o; o < c.o_end; ++o)
    for (int i = c.i; i < c.i_end; ++i) {
      const int64_t row = (int64_t{o} * conv.in_channels + i) * conv.window.kernel_h + c.y;
      visit(values[static_cast<size_t>(row * conv.window.kernel_w + c.x)]);
    }
}

// One bit a cluster: whether any of its weights is not zero. Empty for a dense conv.
template <typename T>
std::vector<uint8_t> occupancy_of(const ConvDescription& conv, const std::vector<T>& values) {
  if (conv.encoding == WeightEncoding::kDense) return {};
  const auto clusters = static_cast<size_t>(cluster_count(conv, cluster_size(conv.encoding)));
  std::vector<uint8_t> bits((clusters + 7) / 8);
  size_t cluster = 0;
  for_each_cluster(conv, [&](const Cluster& c) {
    bool live = false;
    for_each_in(c, conv, values, [&](T value) { live = live || !is_zero(value); });
    if (live) bits[cluster / 8] = static_cast<uint8_t>(bits[cluster / 8] | 1u << (cluster % 8));
    ++cluster;
  });
  return bits;
}

template <typename T>
ByteSpan as_bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)};
}

// The bytes of the values part. Values of kI4 come one in a byte and leave two in a byte.
std::vector<uint8_t> pack_values(WeightType type, ByteSpan values) {
  if (type != WeightType::kI4) return {values.data, values.data + values.size};
  std::vector<uint8_t> packed((values.size + 1) / 2);
  for (size_t k = 0; k < values.size; ++k) {
    packed[k / 2] = static_cast<uint8_t>(packed[k / 2] | (values.data[k] & 0xF) << (k % 2 * 4));
  }
  return packed;
}

// Where a part of the payload ends and how long it is; a span only when the payload no longer moves.
struct Extent {
  size_t begin, size;
  ByteSpan in(const std::vector<uint8_t>& payload) const { return {payload.data() + begin, size}; }
};

Extent put_part(ByteWriter& payload, ByteSpan part) {
  payload.align(kPartAlignment);
  payload.put_bytes(part);
  return {payload.size() - part.size, part.size};
}

template <typename T>
EncodedConv encode_as(WeightEncoding encoding, ConvDescription conv, const Quantized<T>& weights) {
  conv.encoding = encoding;
  const std::vector<uint8_t> occupancy = occupancy_of(conv, weights.values);
  conv.occupancy = as_bytes(occupancy);
  std::vector<T> stored;
  int64_t cluster = 0;
  for_each_cluster(conv, [&](const Cluster& c) {
    if (is_live(conv, cluster++))
      for_each_in(c, conv, weights.values, [&](T value) { stored.push_back(value); });
  });

  ByteWriter payload;
  const Extent bias_at = put_part(payload, as_bytes(weights.bias));
  const Extent scale_at = put_part(payload, as_bytes(weights.scale));
  const Extent occupancy_at = put_part(payload, as_bytes(occupancy));
  const Extent values_at = put_part(payload, as_bytes(pack_values(conv.type, as_bytes(stored))));
  EncodedConv result;
  result.payload = payload.take();
  conv.bias = bias_at.in(result.payload);
  conv.scale = scale_at.in(result.payload);
  conv.occupancy = occupancy_at.in(result.payload);
  conv.values = values_at.in(result.payload);
  result.description = std::move(conv);
  return result;
}

// Instead of the payload, where that is less.
void compress(EncodedConv& conv) {
  if (!has_scale(conv.description.type)) return;
  std::vector<uint8_t> compressed = compress_payload(conv.description);
  if (compressed.size() >= conv.payload.size() || !may_expand(conv.payload.size(), compressed.size())) return;
  conv.compressed = std::move(compressed);
  conv.description.compressed = as_bytes(conv.compressed);
}

size_t size_in_file(const EncodedConv& conv) {
  return conv.compressed.empty() ? conv.payload.size() : conv.compressed.size();
}

std::vector<WeightEncoding> candidates(EncodingChoice choice) {
  switch (choice) {
    case EncodingChoice::kDense:
      return {WeightEncoding::kDense};
    case EncodingChoice::kCluster16x1:
      return {WeightEncoding::kCluster16x1};
    case EncodingChoice::kCluster16x4:
      return {WeightEncoding::kCluster16x4};
    case EncodingChoice::kSynapse:
      return {WeightEncoding::kSynapse};
    case EncodingChoice::kSmallest:
      break;
  }
  return {WeightEncoding::kDense, WeightEncoding::kCluster16x1, WeightEncoding::kCluster16x4,
          WeightEncoding::kSynapse};
}

// Encodes in every way there is to choose from: a size that was computed could be wrong, this one cannot.
template <typename T>
EncodedConv encode_smallest(const ConvSource& source, const ConvDescription& conv,
                            const Quantized<T>& weights) {
  EncodedConv smallest;
  for (WeightEncoding encoding : candidates(source.encoding)) {
    EncodedConv encoded = encode_as(encoding, conv, weights);
    if (source.compress) compress(encoded);
    const bool first = smallest.payload.empty();
    if (first || size_in_file(encoded) < size_in_file(smallest)) smallest = std::move(encoded);
  }
  return smallest;
}

}  // namespace

EncodedConv encode(const ConvSource& source) {
  const DefaultFloatEnvironment environment;
  const ConvDescription conv = describe(source);
  check_sizes(source, conv);
  check_finite("weight", source.weight);
  check_finite("bias", source.bias);
  if (conv.out_channels == 0) {
    EncodedConv absent;
    absent.description = conv;
    return absent;
  }
  switch (conv.type) {
    case WeightType::kF16:
      return encode_smallest(
          source, conv,
          Quantized<uint16_t>{to_halves("bias", bias_of(source)), {}, to_halves("weight", source.weight)});
    case WeightType::kI8:
    case WeightType::kI4:
      return encode_smallest(source, conv, quantize(source));
    case WeightType::kF32:
      break;
  }
  return encode_smallest(source, conv, Quantized<float>{bias_of(source), {}, source.weight});
}

}  // namespace squish
