#include "cuda/integer_pack.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <tuple>

#include "cuda/workload.h"

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
    packed.conv_blocks.push_back(blocks_of(conv->out_channels));
    add_result_constants(*conv, output, 0, packed.constants);
    channels += conv->out_channels;
  }
  return packed;
}

namespace {

// The living quads of some blocks: the weights of each block, those of `convs.weights`, or null.
using QuadsOfBlocks = std::map<std::tuple<int, int16_t, int16_t>, std::array<const ByteQuad*, 2>>;

QuadsOfBlocks living_quads(const PackedIntegerConvs& convs, size_t first_block, size_t count) {
  QuadsOfBlocks quads;
  for (size_t n = 0; n < count; ++n) {
    const OutputBlock& block = convs.blocks[first_block + n];
    for (int64_t k = block.first_tap; k < block.first_tap + block.taps; ++k) {
      const QuadColumn& column = convs.columns[static_cast<size_t>(k)];
      quads[{column.quad, column.dy, column.dx}][n] =
          &convs.weights[static_cast<size_t>(k) * kClusterChannels];
    }
  }
  return quads;
}

// function(first block, blocks) for each pair of blocks of one convolution, or each block.
template <typename Function>
void each_bundle(const PackedIntegerConvs& convs, int width, const Function& function) {
  int first = 0;
  for (int blocks : convs.conv_blocks) {
    for (int b = 0; b < blocks; b += width) function(first + b, std::min(width, blocks - b));
    first += blocks;
  }
}

bool pays_in_pairs(const PackedIntegerConvs& convs) {
  double paired = 0;
  each_bundle(convs, 2, [&](int first, int count) {
    paired += 2.0 * static_cast<double>(
                        living_quads(convs, static_cast<size_t>(first), static_cast<size_t>(count)).size());
  });
  return paired <= kMostUnion * static_cast<double>(convs.taps());
}

}  // namespace

PackedQuadBundles pack_quad_bundles(const PackedIntegerConvs& convs) {
  return pack_quad_bundles(convs, pays_in_pairs(convs) ? 2 : 1);
}

PackedQuadBundles pack_quad_bundles(const PackedIntegerConvs& convs, int width) {
  PackedQuadBundles packed;
  packed.live_quads = convs.taps();
  packed.width = width;
  each_bundle(convs, packed.width, [&](int first, int count) {
    const QuadsOfBlocks all = living_quads(convs, static_cast<size_t>(first), static_cast<size_t>(count));
    const auto quads = static_cast<int>(all.size());
    packed.add(divide_up(quads, kStepQuads), first, count);
    std::vector<std::array<const ByteQuad*, 2>> weights;
    for (const auto& [place, of_blocks] : all) {
      const auto& [quad, dy, dx] = place;
      packed.quads.push_back({quad, dy, dx});
      weights.push_back(of_blocks);
    }
    while (packed.quads.size() % kStepQuads != 0) {  // beyond the last: any that is there, times zero
      packed.quads.push_back(packed.quads.back());
      weights.push_back({});
    }
    for (size_t step = 0; step < weights.size(); step += kStepQuads) {
      for (size_t n = 0; n < static_cast<size_t>(packed.width); ++n) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
          const ByteQuad* const of_quad = weights[step + lane % kStepQuads][n];
          for (size_t i = 0; i < 2; ++i)  // see integer_conv_mma.cuh
            packed.weights.push_back(of_quad != nullptr ? of_quad[lane / kStepQuads * 2 + i] : ByteQuad{0});
        }
      }
    }
  });
  return packed;
}

std::vector<Tap> taps_of(const std::vector<QuadColumn>& columns, int64_t plane_quads, int64_t row_quads) {
  std::vector<Tap> taps;
  taps.reserve(columns.size());
  for (const QuadColumn& column : columns) {
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

DeviceQuadBundles::DeviceQuadBundles(const PackedQuadBundles& bundles, Parcel& parcel)
    : bundles_at_(parcel.add(bundles.bundles)),
      weights_at_(parcel.add(bundles.weights)),
      bundle_count_(static_cast<int>(bundles.bundles.size())),
      width_(bundles.width) {}

QuadBundles DeviceQuadBundles::bundles(const DeviceMemory& memory, const Tap* taps) const {
  const uint8_t* const base = memory.data();
  return {reinterpret_cast<const Bundle*>(base + bundles_at_), taps,
          reinterpret_cast<const ByteQuad*>(base + weights_at_), bundle_count_, width_};
}

}  // namespace squish::cuda
