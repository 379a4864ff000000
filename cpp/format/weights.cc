#include "format/weights.h"

#include "memory_size.h"

namespace squish {
namespace {

constexpr ClusterSize kCluster16x1 = cluster_size(WeightEncoding::kCluster16x1);

}  // namespace

std::vector<float> decode_bias(const ConvDescription& conv) {
  std::vector<float> bias(static_cast<size_t>(conv.out_channels));
  for (int o = 0; o < conv.out_channels; ++o) {
    bias[static_cast<size_t>(o)] = conv.type == WeightType::kF32
                                       ? detail::load<float>(conv.bias.data, o)
                                       : float_from_half(detail::load<uint16_t>(conv.bias.data, o));
  }
  return bias;
}

std::vector<float> decode_scale(const ConvDescription& conv) {
  std::vector<float> scale(static_cast<size_t>(conv.out_channels));
  for (int o = 0; o < conv.out_channels; ++o)
    scale[static_cast<size_t>(o)] = float_from_half(detail::load<uint16_t>(conv.scale.data, o));
  return scale;
}

std::vector<float> decode_dense(const ConvDescription& conv) {
  std::vector<float> dense(memory_size<float>(conv.weight_count()));
  const Window& window = conv.window;
  for_each_weight(conv, [&](const Weight& w) {
    const int64_t row = (int64_t{w.o} * conv.in_channels + w.i) * window.kernel_h + w.y;
    dense[static_cast<size_t>(row * window.kernel_w + w.x)] = w.value;
  });
  return dense;
}

int64_t count_live_weights(const ConvDescription& conv) {
  int64_t live = 0;
  for_each_weight(conv, [&](const Weight& w) { live += w.value != 0; });
  return live;
}

int64_t count_live_clusters(const ConvDescription& conv) {
  // At most a few bytes for each byte of the occupancy: a bit there is at most four of these.
  std::vector<bool> live(memory_size<uint8_t>(count_clusters(conv)));
  int64_t count = 0;
  for_each_weight(conv, [&](const Weight& w) {
    const int64_t position = int64_t{w.y} * conv.window.kernel_w + w.x;
    const int64_t block = w.o / kClusterRows;
    const auto cluster =
        static_cast<size_t>((block * conv.kernel_area() + position) * conv.in_channels + w.i);
    if (w.value == 0 || live[cluster]) return;
    live[cluster] = true;
    ++count;
  });
  return count;
}

int64_t count_clusters(const ConvDescription& conv) { return cluster_count(conv, kCluster16x1); }

}  // namespace squish
