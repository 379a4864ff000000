// Decoding of a conv's weights from any encoding and type to float. Called by the packers of the backends and by
// inspection. All of it expects what parse() and encode() guarantee of a ConvDescription.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "format/cluster.h"
#include "format/description.h"
#include "format/half.h"

namespace squish {

// One stored weight, widened to float. Weights that the encoding leaves out are zero and are not visited.
struct Weight {
  int o, i, y, x;
  float value;
};

namespace detail {

template <typename T>
T load(const uint8_t* bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes + index * int64_t{sizeof(T)}, sizeof value);
  return value;
}

// value(k, o): the k-th stored value, which belongs to output channel o.
template <typename Value, typename Visit>
void visit_stored(const ConvDescription& conv, Value&& value, Visit&& visit) {
  int64_t cluster = 0, k = 0;
  for_each_cluster(conv, [&](const Cluster& c) {
    if (!is_live(conv, cluster++)) return;
    for (int o = c.o; o < c.o_end; ++o)
      for (int i = c.i; i < c.i_end; ++i) visit(Weight{o, i, c.y, c.x, value(k++, o)});
  });
}

}  // namespace detail

// Calls visit(const Weight&) for every stored weight, in the file's order. Stored zeros are visited too.
template <typename Visit>
void for_each_weight(const ConvDescription& conv, Visit&& visit) {
  const uint8_t *values = conv.values.data, *scale = conv.scale.data;
  switch (conv.type) {
    case WeightType::kF32:
      return detail::visit_stored(
          conv, [=](int64_t k, int) { return detail::load<float>(values, k); }, visit);
    case WeightType::kF16:
      return detail::visit_stored(
          conv, [=](int64_t k, int) { return float_from_half(detail::load<uint16_t>(values, k)); }, visit);
    case WeightType::kI8:
      return detail::visit_stored(
          conv,
          [=](int64_t k, int o) {
            return float_from_half(detail::load<uint16_t>(scale, o)) *
                   static_cast<float>(detail::load<int8_t>(values, k));
          },
          visit);
    case WeightType::kI4:
      return detail::visit_stored(
          conv,
          [=](int64_t k, int o) {
            return float_from_half(detail::load<uint16_t>(scale, o)) *
                   static_cast<float>(load_int4(values, k));
          },
          visit);
  }
}

std::vector<float> decode_bias(const ConvDescription& conv);  // [out_channels]
// [O][I][H][W], absent weights 0. A sparse conv may be many times larger so than in its file.
std::vector<float> decode_dense(const ConvDescription& conv);

int64_t count_live_weights(const ConvDescription& conv);   // stored weights that are not zero
int64_t count_live_clusters(const ConvDescription& conv);  // 16x1 clusters with at least one such weight
int64_t count_clusters(const ConvDescription& conv);       // 16x1 clusters there could be

}  // namespace squish
