#include "cuda/pack.h"

#include <limits>
#include <string>

#include "format/half.h"
#include "format/weights.h"
#include "plan/fuse.h"
#include "squish/error.h"

namespace squish::cuda {
namespace {

static_assert(kClusterChannels == kChannelBlock, "the planner's blocks are the kernels' clusters");

void add_conv(PackedConvs& packed, const ConvDescription& conv, int first_channel) {
  const squish::Clusters clusters = clusters_of(conv);
  const auto first_tap = static_cast<int64_t>(packed.columns.size());
  for (int b = 0; b < blocks_of(conv.out_channels); ++b) {
    const size_t begin = clusters.block_begin[static_cast<size_t>(b)],
                 end = clusters.block_begin[static_cast<size_t>(b) + 1];
    const int channel = b * kClusterChannels;
    packed.blocks.push_back({first_tap + static_cast<int64_t>(begin), static_cast<int>(end - begin),
                             first_channel + channel,
                             std::min(kClusterChannels, conv.out_channels - channel)});
  }
  packed.columns.insert(packed.columns.end(), clusters.columns.begin(), clusters.columns.end());
  for (const ClusterWeights& weights : clusters.weights) {
    packed.weights.insert(packed.weights.end(), weights.begin(), weights.end());
  }
  const std::vector<float> bias = decode_bias(conv);
  packed.bias.insert(packed.bias.end(), bias.begin(), bias.end());
  packed.bias.resize(packed.blocks.size() * kClusterChannels);
}

}  // namespace

PackedConvs pack(const std::vector<const ConvDescription*>& convs) {
  PackedConvs packed;
  int channels = 0;
  for (const ConvDescription* conv : convs) {
    add_conv(packed, *conv, channels);
    channels += conv->out_channels;
  }
  packed.relu = convs[0]->relu;
  return packed;
}

std::vector<Tap> taps_of(const PackedConvs& convs, int64_t plane_values, int64_t row_values) {
  std::vector<Tap> taps;
  taps.reserve(convs.columns.size());
  for (const Column& column : convs.columns) {
    // plan.cc refuses buffers of 2^31 values.
    const int64_t offset = column.channel * plane_values + column.dy * row_values + column.dx;
    taps.push_back({static_cast<int32_t>(offset), column.dy, column.dx});
  }
  return taps;
}

std::vector<uint16_t> halves_of(const std::vector<float>& weights) {
  constexpr uint16_t kInfinity = 0x7C00;
  std::vector<uint16_t> halves;
  halves.reserve(weights.size());
  for (float weight : weights) {
    const uint16_t half = half_from_float(weight);
    if ((half & 0x7FFF) == kInfinity) {
      throw InvalidArgument("storage: a weight is " + std::to_string(weight) + ", f16 holds up to 65504");
    }
    halves.push_back(half);
  }
  return halves;
}

DeviceConvs::DeviceConvs(const PackedConvs& convs, StorageType storage, Parcel& parcel)
    : blocks_at_(parcel.add(convs.blocks)),
      weights_at_(storage == StorageType::kF16 ? parcel.add(halves_of(convs.weights))
                                               : parcel.add(convs.weights)),
      bias_at_(parcel.add(convs.bias)),
      block_count_(static_cast<int>(convs.blocks.size())),
      floor_(convs.relu ? 0 : -std::numeric_limits<float>::infinity()) {}

}  // namespace squish::cuda
