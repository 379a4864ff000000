#include "cuda/pack_bundles.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <tuple>

#include "cuda/pack.h"
#include "cuda/workload.h"
#include "format/weights.h"

namespace squish::cuda {
namespace {

// A quad. In the order of memory: position by position, the blocks of 16 channels outermost.
struct Place {
  int block;  // of 16 stored channels
  int dy, dx;
  int channel;  // stored, the quad's first

  bool operator<(const Place& o) const {
    return std::tie(block, dy, dx, channel) < std::tie(o.block, o.dy, o.dx, o.channel);
  }
};

using QuadWeights = std::array<std::array<float, kQuad>, kClusterChannels>;  // by output channel of the block
using BlockQuads = std::map<Place, QuadWeights>;

// The quads of each block of 16 output channels in which a cluster lives.
std::vector<BlockQuads> quads_of(const ConvDescription& conv, const Layout& input) {
  const squish::Clusters clusters = clusters_of(conv);
  const Layout pixel{input.segments, 1, 1, {}, input.block};  // where channels lie, seen from a pixel's first
  std::vector<BlockQuads> blocks;
  for (int b = 0; b < blocks_of(conv.out_channels); ++b) {
    BlockQuads quads;
    for (size_t k = clusters.block_begin[static_cast<size_t>(b)];
         k < clusters.block_begin[static_cast<size_t>(b) + 1]; ++k) {
      const Column& column = clusters.columns[k];
      const auto stored = static_cast<int>(pixel.channel_offset(column.channel));
      const int first = stored / kQuad * kQuad;
      QuadWeights& weights = quads[{first / kClusterChannels, column.dy, column.dx, first}];
      for (size_t o = 0; o < kClusterChannels; ++o) {
        weights[o][static_cast<size_t>(stored - first)] = clusters.weights[k][o];
      }
    }
    blocks.push_back(std::move(quads));
  }
  return blocks;
}

std::vector<Place> together(const std::vector<BlockQuads>& blocks, size_t first, size_t count) {
  BlockQuads all;
  for (size_t b = first; b < first + count; ++b) all.insert(blocks[b].begin(), blocks[b].end());
  std::vector<Place> places;
  for (const auto& [place, weights] : all) places.push_back(place);
  return places;
}

bool pays_in_pairs(const std::vector<std::vector<BlockQuads>>& convs) {
  double alone = 0, paired = 0;
  for (const std::vector<BlockQuads>& blocks : convs) {
    for (size_t b = 0; b < blocks.size(); b += 2) {
      const size_t count = std::min<size_t>(2, blocks.size() - b);
      for (size_t i = 0; i < count; ++i) alone += static_cast<double>(blocks[b + i].size());
      paired += 2.0 * static_cast<double>(together(blocks, b, count).size());
    }
  }
  return paired <= kMostUnion * alone;
}

// One bundle's steps: places, and the weights of every lane.
void add_steps(PackedBundles& packed, const std::vector<BlockQuads>& blocks, size_t first, size_t count,
               const std::vector<Place>& places) {
  const size_t steps = (places.size() + kStepQuads - 1) / kStepQuads;
  for (size_t i = 0; i < steps * kStepQuads; ++i) {
    const Place& at =
        places[std::min(i, places.size() - 1)];  // beyond the last: any that is there, times zero
    packed.quads.push_back({at.channel, static_cast<int16_t>(at.dy), static_cast<int16_t>(at.dx)});
  }
  for (size_t step = 0; step < steps; ++step) {
    for (size_t n = 0; n < static_cast<size_t>(packed.width); ++n) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        const size_t g = lane / kStepQuads, t = lane % kStepQuads;
        const size_t k = step * kStepQuads + t;
        const QuadWeights* weights = nullptr;
        if (n < count && k < places.size()) {
          const auto found = blocks[first + n].find(places[k]);
          if (found != blocks[first + n].end()) weights = &found->second;
        }
        for (size_t pair = 0; pair < kQuad / 2; ++pair) {
          for (size_t o = 2 * g; o < 2 * g + 2; ++o) {  // see bundles.cuh
            for (size_t i = 2 * pair; i < 2 * pair + 2; ++i) {
              packed.weights.push_back(weights != nullptr ? (*weights)[o][i] : 0);
            }
          }
        }
      }
    }
  }
}

}  // namespace

void BundledSteps::add(int bundle_steps, int first_block, int blocks) {
  bundles.push_back({static_cast<int>(steps()), bundle_steps, first_block, blocks});
  most_steps = std::max(most_steps, bundle_steps);
}

PackedBundles pack_bundles(const std::vector<const ConvDescription*>& convs, const Layout& input) {
  PackedBundles packed;
  packed.relu = convs[0]->relu;
  std::vector<std::vector<BlockQuads>> quads;
  quads.reserve(convs.size());
  for (const ConvDescription* conv : convs) quads.push_back(quads_of(*conv, input));
  packed.width = pays_in_pairs(quads) ? 2 : 1;
  for (size_t c = 0; c < convs.size(); ++c) {
    const std::vector<BlockQuads>& blocks = quads[c];
    for (const BlockQuads& block : blocks) packed.live_quads += static_cast<int64_t>(block.size());
    for (size_t b = 0; b < blocks.size(); b += static_cast<size_t>(packed.width)) {
      const size_t count = std::min(static_cast<size_t>(packed.width), blocks.size() - b);
      const std::vector<Place> places = together(blocks, b, count);
      add_steps(packed, blocks, b, count, places);
      packed.add(divide_up(static_cast<int>(places.size()), kStepQuads), packed.blocks + static_cast<int>(b),
                 static_cast<int>(count));
    }
    std::vector<float> bias = decode_bias(*convs[c]);
    bias.resize(blocks.size() * kClusterChannels);
    packed.bias.insert(packed.bias.end(), bias.begin(), bias.end());
    packed.blocks += static_cast<int>(blocks.size());
  }
  packed.bias.resize(packed.bias.size() + kClusterChannels);
  return packed;
}

std::vector<Tap> taps_of(const PackedBundles& convs, const BlockStrides& strides) {
  std::vector<Tap> taps;
  taps.reserve(convs.quads.size());
  for (const Column& quad : convs.quads) {
    // plan.cc refuses buffers of 2^31 values.
    const int64_t offset = quad.channel / strides.channels * strides.block + quad.channel % strides.channels +
                           quad.dy * strides.row + quad.dx * int64_t{strides.channels};
    taps.push_back({static_cast<int32_t>(offset / kQuad), quad.dy, quad.dx});
  }
  return taps;
}

DeviceBundles::DeviceBundles(const PackedBundles& convs, StorageType storage, Parcel& parcel)
    : bundles_at_(parcel.add(convs.bundles)),
      weights_at_(storage == StorageType::kF16 ? parcel.add(halves_of(convs.weights))
                                               : parcel.add(convs.weights)),
      bias_at_(parcel.add(convs.bias)),
      bundle_count_(static_cast<int>(convs.bundles.size())),
      width_(convs.width),
      floor_(convs.relu ? 0 : -std::numeric_limits<float>::infinity()) {}

}  // namespace squish::cuda
