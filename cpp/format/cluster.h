// The order in which a conv's weights are stored, said once for the parser, the decoder and the encoder.
#pragma once

#include <algorithm>

#include "format/description.h"

namespace squish {

// Weights that live or die together: outputs [o, o_end) x inputs [i, i_end) at one kernel position.
struct Cluster {
  int o, o_end, i, i_end, y, x;
  int64_t weights() const { return int64_t{o_end - o} * (i_end - i); }
};

// Output and input channels of a cluster that is not cut off by the edge. A dense conv's and a synapse-sparse
// conv's weights are clusters of one.
struct ClusterSize {
  int outputs, inputs;
};

constexpr ClusterSize cluster_size(WeightEncoding encoding) {
  if (encoding == WeightEncoding::kCluster16x1) return {kClusterRows, 1};
  if (encoding == WeightEncoding::kCluster16x4) return {kClusterRows, 4};
  return {1, 1};
}

// Clusters of this size that the conv has, those at the edges included. At most 2^48: cannot overflow.
inline int64_t cluster_count(const ConvDescription& conv, ClusterSize size) {
  const int64_t rows = (conv.out_channels + size.outputs - 1) / size.outputs;
  const int64_t columns = (conv.in_channels + size.inputs - 1) / size.inputs;
  return rows * columns * conv.kernel_area();
}

// Calls visit(const Cluster&) for every cluster of conv's encoding, living or not, in the file's order.
template <typename Visit>
void for_each_cluster(const ConvDescription& conv, Visit&& visit) {
  const ClusterSize size = cluster_size(conv.encoding);
  const int outputs = conv.out_channels, inputs = conv.in_channels;
  const int height = conv.window.kernel_h, width = conv.window.kernel_w;
  if (size.outputs == 1) {
    for (int o = 0; o < outputs; ++o)
      for (int i = 0; i < inputs; ++i)
        for (int y = 0; y < height; ++y)
          for (int x = 0; x < width; ++x) visit(Cluster{o, o + 1, i, i + 1, y, x});
    return;
  }
  for (int o = 0; o < outputs; o += size.outputs)
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        for (int i = 0; i < inputs; i += size.inputs) {
          visit(Cluster{o, std::min(o + size.outputs, outputs), i, std::min(i + size.inputs, inputs), y, x});
        }
}

// Whether the cluster with this number in the file's order lives. A dense conv has no occupancy: all live.
inline bool is_live(const ConvDescription& conv, int64_t cluster) {
  if (conv.occupancy.size == 0) return true;
  return (conv.occupancy.data[cluster / 8] >> (cluster % 8) & 1) != 0;
}

// Weights that the payload holds a value of.
inline int64_t stored_weights(const ConvDescription& conv) {
  if (conv.encoding == WeightEncoding::kDense) return conv.weight_count();
  int64_t cluster = 0, stored = 0;
  for_each_cluster(conv, [&](const Cluster& c) {
    if (is_live(conv, cluster++)) stored += c.weights();
  });
  return stored;
}

// Of the values part that holds `count` weights.
constexpr uint64_t values_bytes(WeightType type, uint64_t count) {
  if (type == WeightType::kI4) return (count + 1) / 2;
  return count * (type == WeightType::kF32 ? 4 : type == WeightType::kF16 ? 2 : 1);
}

// The k-th value of kI4.
inline int load_int4(const uint8_t* values, int64_t k) {
  const int bits = values[k / 2] >> (k % 2 * 4) & 0xF;
  return bits < 8 ? bits : bits - 16;
}

// The integer types have a scale for each output channel.
constexpr bool has_scale(WeightType type) { return type == WeightType::kI8 || type == WeightType::kI4; }

// Of an integer type. The least value is its negative.
constexpr int largest_value(WeightType type) { return type == WeightType::kI4 ? 7 : 127; }

// Of a bias or scale next to weights of this type.
constexpr size_t channel_type_bytes(WeightType type) { return type == WeightType::kF32 ? 4 : 2; }

}  // namespace squish
