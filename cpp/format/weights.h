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

// One stored weight of an integer type, without its scale.
struct IntegerWeight {
  int o, i, y, x, value;
};

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
template <typename Weight, typename Value, typename Visit>
void visit_stored(const ConvDescription& conv, Value&& value, Visit&& visit) {
  int64_t cluster = 0, k = 0;
  for_each_cluster(conv, [&](const Cluster& c) {
    if (!is_live(conv, cluster++)) return;
    for (int o = c.o; o < c.o_end; ++o)
      for (int i = c.i; i < c.i_end; ++i) visit(Weight{o, i, c.y, c.x, value(k++, o)});
  });
}

}  // namespace detail

// Calls visit(const IntegerWeight&) for every stored weight of a conv of an integer type, in the file's order. Stored zeros
// are visited too.
template <typename Visit>
void for_each_integer_weight(const ConvDescription& conv, Visit&& visit) {
  const uint8_t* values = conv.values.data;
  if (conv.type == WeightType::kI4) {
    detail::visit_stored<IntegerWeight>(conv, [=](int64_t k, int) { return load_int4(values, k); }, visit);
  } else {
    detail::visit_stored<IntegerWeight>(
        conv, [=](int64_t k, int) { return int{detail::load<int8_t>(values, k)}; }, visit);
  }
}

// Calls visit(const Weight&) for every stored weight, in the file's order. Stored zeros are visited too.
template <typename Visit>
void for_each_weight(const ConvDescription& conv, Visit&& visit) {
  const uint8_t* values = conv.values.data;
  switch (conv.type) {
    case WeightType::kF32:
      return detail::visit_stored<Weight>(
          conv, [=](int64_t k, int) { return detail::load<float>(values, k); }, visit);
    case WeightType::kF16:
      return detail::visit_stored<Weight>(
          conv, [=](int64_t k, int) { return float_from_half(detail::load<uint16_t>(values, k)); }, visit);
    case WeightType::kI8:
    case WeightType::kI4:
      return for_each_integer_weight(conv, [&](const IntegerWeight& w) {
        const float scale = float_from_half(detail::load<uint16_t>(conv.scale.data, w.o));
        visit(Weight{w.o, w.i, w.y, w.x, scale * static_cast<float>(w.value)});
      });
  }
}

std::vector<float> decode_bias(const ConvDescription& conv);   // [out_channels]
std::vector<float> decode_scale(const ConvDescription& conv);  // [out_channels], of an integer type
// [O][I][H][W], absent weights 0. A sparse conv may be many times larger so than in its file.
std::vector<float> decode_dense(const ConvDescription& conv);

int64_t count_live_weights(const ConvDescription& conv);   // stored weights that are not zero
int64_t count_live_clusters(const ConvDescription& conv);  // 16x1 clusters with at least one such weight
int64_t count_clusters(const ConvDescription& conv);       // 16x1 clusters there could be

}  // namespace squish
