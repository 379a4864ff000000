#include "cpu/pack.h"

#include <algorithm>

#include "cpu/winograd.h"
#include "format/weights.h"

namespace squish {
namespace {

// The living clusters of one output block: a piece of a Clusters.
struct Block {
  const Column* columns;
  const ClusterWeights* weights;
  size_t count;
  const ConvDescription* conv;
};

bool same_columns(const Block& a, const Block& b) {
  return std::equal(a.columns, a.columns + a.count, b.columns, b.columns + b.count);
}

// The input channels that living clusters of a group read.
std::vector<int> live_channels(const Block* blocks, int count) {
  std::vector<int> channels;
  for (int b = 0; b < count; ++b) {
    for (size_t k = 0; k < blocks[b].count; ++k) channels.push_back(blocks[b].columns[k].channel);
  }
  std::sort(channels.begin(), channels.end());
  channels.erase(std::unique(channels.begin(), channels.end()), channels.end());
  return channels;
}

// Makes the groups of one op, in the order of the blocks, and fills the arrays behind them.
class GroupPacker {
 public:
  GroupPacker(PackedConv& packed, const std::vector<Block>& blocks, const PackOptions& options)
      : packed_(packed), blocks_(blocks), options_(options) {}

  void run() {
    for (size_t b = 0; b < blocks_.size();) {
      const bool in_tiles = takes_tiles(b), may_pair = options_.max_group >= 2 && b + 1 < blocks_.size();
      const bool pair =
          may_pair && (in_tiles ? takes_tiles(b + 1) : same_columns(blocks_[b], blocks_[b + 1]));
      BlockGroup group;
      group.first_block = static_cast<int>(b);
      group.blocks = pair ? 2 : 1;
      group.columns_at = static_cast<int64_t>(packed_.columns.size());
      group.weights_at = static_cast<int64_t>(weights_.size());
      if (in_tiles) {
        add_tiled(group);
      } else {
        add_direct(group);
      }
      b += static_cast<size_t>(group.blocks);
    }
    packed_.weights = AlignedArray<float>(weights_.size());
    std::copy(weights_.begin(), weights_.end(), packed_.weights.data());
  }

 private:
  const Block& block(const BlockGroup& group, int b) const {
    return blocks_[static_cast<size_t>(group.first_block + b)];
  }

  bool takes_tiles(size_t b) const {
    const Block& block = blocks_[b];
    if (!options_.winograd || !block.conv->window.is_3x3(1)) return false;
    return winograd_pays(static_cast<int64_t>(block.count),
                         static_cast<int64_t>(live_channels(&block, 1).size()));
  }

  void add_direct(BlockGroup& group) {
    group.columns = static_cast<int64_t>(block(group, 0).count);
    for (size_t k = 0; k < block(group, 0).count; ++k) {
      packed_.columns.push_back(block(group, 0).columns[k]);
      for (int b = 0; b < group.blocks; ++b) {
        const ClusterWeights& cluster = block(group, b).weights[k];
        weights_.insert(weights_.end(), cluster.begin(), cluster.end());
      }
    }
    packed_.direct_groups.push_back(group);
  }

  void add_tiled(BlockGroup& group) {
    const Window& window = block(group, 0).conv->window;
    packed_.winograd_pad_top = window.pad_top;
    packed_.winograd_pad_left = window.pad_left;
    const std::vector<int> channels = live_channels(&block(group, 0), group.blocks);
    group.columns = static_cast<int64_t>(channels.size());
    for (int channel : channels) packed_.columns.push_back({channel, 0, 0});
    const size_t frequency = channels.size() * static_cast<size_t>(group.blocks) * kChannelBlock;
    weights_.resize(weights_.size() + 16 * frequency);
    float* const weights = weights_.data() + group.weights_at;
    for (int b = 0; b < group.blocks; ++b) {
      for (size_t c = 0; c < channels.size(); ++c) {
        const size_t at = (c * static_cast<size_t>(group.blocks) + static_cast<size_t>(b)) * kChannelBlock;
        transform_channel(block(group, b), channels[c], weights + at, frequency);
      }
    }
    packed_.winograd_groups.push_back(group);
  }

  // The 3x3 kernels of one input channel to the 16 output channels of a block, frequency by frequency.
  void transform_channel(const Block& block, int channel, float* weights, size_t frequency) const {
    double kernels[kChannelBlock][9] = {};
    for (size_t k = first_cluster(block, channel); k < block.count; ++k) {
      const Column& column = block.columns[k];
      if (column.channel / kChannelBlock != channel / kChannelBlock) break;
      if (column.channel != channel) continue;
      const int position =
          (column.dy + block.conv->window.pad_top) * 3 + column.dx + block.conv->window.pad_left;
      for (size_t lane = 0; lane < kChannelBlock; ++lane) kernels[lane][position] = block.weights[k][lane];
    }
    for (int lane = 0; lane < kChannelBlock; ++lane) {
      float transformed[16];
      transform_weights(kernels[lane], transformed);
      for (size_t f = 0; f < 16; ++f) weights[f * frequency + static_cast<size_t>(lane)] = transformed[f];
    }
  }

  // Clusters are ordered by input block, so a channel's lie in one stretch.
  static size_t first_cluster(const Block& block, int channel) {
    const auto before = [](const Column& c, int input_block) {
      return c.channel / kChannelBlock < input_block;
    };
    const Column* end = block.columns + block.count;
    return static_cast<size_t>(std::lower_bound(block.columns, end, channel / kChannelBlock, before) -
                               block.columns);
  }

  PackedConv& packed_;
  const std::vector<Block>& blocks_;
  const PackOptions& options_;
  std::vector<float> weights_;
};

void fill_bias(PackedConv& packed, const Op& op) {
  packed.bias = AlignedArray<float>(static_cast<size_t>(packed.blocks) * kChannelBlock);
  float* bias = packed.bias.data();
  for (const ConvDescription* conv : op.convs) {
    const std::vector<float> values = decode_bias(*conv);
    std::copy(values.begin(), values.end(), bias);
    bias += ptrdiff_t{blocks_of(conv->out_channels)} * kChannelBlock;
  }
}

}  // namespace

PackedConv pack(const Op& op, const PackOptions& options) {
  PackedConv packed;
  std::vector<Clusters> convs;
  convs.reserve(op.convs.size());
  for (const ConvDescription* conv : op.convs) convs.push_back(clusters_of(*conv));
  std::vector<Block> blocks;
  for (size_t c = 0; c < convs.size(); ++c) {
    const Clusters& conv = convs[c];
    for (size_t b = 0; b + 1 < conv.block_begin.size(); ++b) {
      const size_t begin = conv.block_begin[b];
      blocks.push_back({conv.columns.data() + begin, conv.weights.data() + begin,
                        conv.block_begin[b + 1] - begin, op.convs[c]});
    }
  }
  packed.blocks = static_cast<int>(blocks.size());
  packed.relu = op.convs[0]->relu;
  packed.stride_h = op.convs[0]->window.stride_h;
  packed.stride_w = op.convs[0]->window.stride_w;
  // Tiles want blocks of 16 channels, which the net's input is not, and what is averaged is computed as a whole.
  const bool winograd = options.winograd && op.inputs[0] >= 0 && !op.averaged;
  GroupPacker(packed, blocks, {options.max_group, winograd}).run();
  fill_bias(packed, op);
  packed.census = take_census(op);
  return packed;
}

std::vector<int32_t> column_offsets(const PackedConv& conv, const Layout& input, int band_tiles) {
  std::vector<int32_t> offsets(conv.columns.size());
  // plan.cc refuses buffers of 2^31 floats.
  for (const BlockGroup& group : conv.direct_groups) {
    for (int64_t k = group.columns_at; k < group.columns_at + group.columns; ++k) {
      const Column& column = conv.columns[static_cast<size_t>(k)];
      const int64_t offset = input.channel_offset(column.channel) + column.dy * input.row_values() +
                             int64_t{column.dx} * input.channel_step();
      offsets[static_cast<size_t>(k)] = static_cast<int32_t>(offset);
    }
  }
  for (const BlockGroup& group : conv.winograd_groups) {
    for (int64_t k = group.columns_at; k < group.columns_at + group.columns; ++k) {
      const int64_t offset = input.channel_offset(conv.columns[static_cast<size_t>(k)].channel);
      const int64_t block = offset / input.block_values(), lane = offset % input.block_values();
      offsets[static_cast<size_t>(k)] = static_cast<int32_t>(block * band_tiles * kChannelBlock + lane);
    }
  }
  return offsets;
}

}  // namespace squish
