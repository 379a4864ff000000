#include "cuda/integer_pack.h"

#include <algorithm>
#include <limits>

namespace squish::cuda {
namespace {

static_assert(kClusterChannels == kChannelBlock && kQuad == kQuadBlock,
              "the planner's blocks are the kernels' clusters");

ByteQuad make_quad(const int8_t* weights) {
  uint32_t bits = 0;
  for (int i = 0; i < kQuad; ++i) bits |= uint32_t{static_cast<uint8_t>(weights[i])} << 8 * i;
  return {bits};
}

void add_conv(PackedIntegerConvs& packed, const ConvDescription& conv, const Layout& input,
              int first_channel) {
  const QuadClusters clusters(conv, input);
  packed.all_clusters += clusters.all();
  for (int b = 0; b < clusters.blocks(); ++b) {
    const QuadClusters::Block block = clusters.block(b);
    const int channel = b * kClusterChannels;
    packed.blocks.push_back({packed.taps(), static_cast<int>(block.count), first_channel + channel,
                             std::min(kClusterChannels, conv.out_channels - channel)});
    packed.columns.insert(packed.columns.end(), block.columns, block.columns + block.count);
    for (size_t k = 0; k < block.count; ++k) {
      const QuadClusterWeights& weights = block.weights[k];
      for (size_t lane = 0; lane < weights.size(); lane += kQuad)
        packed.weights.push_back(make_quad(&weights[lane]));
    }
  }
}

}  // namespace

PackedIntegerConvs pack_integers(const std::vector<const ConvDescription*>& convs, const Layout& input,
                                 const Quantisation& output) {
  PackedIntegerConvs packed;
  packed.input = convs[0]->activation;
  packed.output = output;
  packed.relu = convs[0]->relu;
  int channels = 0;
  for (const ConvDescription* conv : convs) {
    add_conv(packed, *conv, input, channels);
    add_result_constants(*conv, output, 0, packed.constants);
    channels += conv->out_channels;
  }
  return packed;
}

std::vector<Tap> taps_of(const PackedIntegerConvs& convs, int64_t plane_quads, int64_t row_quads) {
  std::vector<Tap> taps;
  taps.reserve(convs.columns.size());
  for (const QuadColumn& column : convs.columns) {
    // plan.cc refuses buffers of 2^31 values.
    const int64_t offset = column.quad * plane_quads + column.dy * row_quads + column.dx;
    taps.push_back({static_cast<int32_t>(offset), column.dy, column.dx});
  }
  return taps;
}

DeviceIntegerConvs::DeviceIntegerConvs(const PackedIntegerConvs& convs, Parcel& parcel)
    : blocks_at_(parcel.add(convs.blocks)),
      weights_at_(parcel.add(convs.weights)),
      start_at_(parcel.add(convs.constants.start)),
      factor_at_(parcel.add(convs.constants.factor)),
      term_at_(parcel.add(convs.constants.term)),
      block_count_(static_cast<int>(convs.blocks.size())),
      padding_(convs.input.zero),
      low_(convs.relu ? convs.output.zero : 0),
      floor_(convs.relu ? 0 : -std::numeric_limits<float>::infinity()) {}

void DeviceIntegerConvs::fill(const DeviceMemory& memory, const Tap* taps, IntegerConvTask& task) const {
  constexpr uint32_t kEachByte = 0x01010101;
  const uint8_t* const base = memory.data();
  task.clusters = {reinterpret_cast<const OutputBlock*>(base + blocks_at_),
                   taps,
                   reinterpret_cast<const ByteQuad*>(base + weights_at_),
                   reinterpret_cast<const int32_t*>(base + start_at_),
                   floor_,
                   block_count_};
  task.factor = reinterpret_cast<const float*>(base + factor_at_);
  task.term = reinterpret_cast<const float*>(base + term_at_);
  task.padding = {static_cast<uint32_t>(padding_) * kEachByte};
  task.low = low_;
}

}  // namespace squish::cuda
