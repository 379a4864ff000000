#include "cpu/pack.h"

#include <algorithm>
#include <array>

#include "format/weights.h"

namespace squish {
namespace {

using ClusterWeights = std::array<float, kChannelBlock>;  // by output channel of the block

// The living clusters of one convolution, by output block and then by column.
struct Clusters {
  std::vector<Column> columns;
  std::vector<ClusterWeights> weights;
  std::vector<size_t> block_begin;  // [blocks + 1]
};

// The living clusters of one output block: a piece of a Clusters.
struct Block {
  const Column* columns;
  const ClusterWeights* weights;
  size_t count;
};

// A set of (output block, column) with the rank of each member, as a bitmap. Columns are numbered with input blocks
// outermost: consecutive clusters then read the same few rows of one channel block.
class LiveColumns {
 public:
  explicit LiveColumns(const ConvDescription& conv)
      : window_(conv.window),
        blocks_(blocks_of(conv.out_channels)),
        columns_(blocks_of(conv.in_channels) * conv.kernel_area() * kChannelBlock),
        words_(static_cast<size_t>((blocks_ * columns_ + 63) / 64)),
        rank_(words_.size() + 1) {
    for_each_weight(conv, [&](const Weight& w) {
      if (w.value != 0) words_[number(w) / 64] |= uint64_t{1} << (number(w) % 64);
    });
    for (size_t i = 0; i < words_.size(); ++i) rank_[i + 1] = rank_[i] + popcount(words_[i]);
  }

  size_t size() const { return rank_.back(); }
  // How many members come before this one.
  size_t rank(const Weight& w) const { return rank(number(w)); }
  size_t block_begin(int block) const { return rank(static_cast<size_t>(block * columns_)); }

 private:
  static size_t popcount(uint64_t bits) { return static_cast<size_t>(__builtin_popcountll(bits)); }

  size_t number(const Weight& w) const {
    const int64_t position = int64_t{w.y} * window_.kernel_w + w.x;
    const int64_t area = int64_t{window_.kernel_h} * window_.kernel_w;
    const int64_t column = (w.i / kChannelBlock * area + position) * kChannelBlock + w.i % kChannelBlock;
    return static_cast<size_t>(w.o / kChannelBlock * columns_ + column);
  }

  size_t rank(size_t number) const {
    if (number / 64 == words_.size()) return rank_.back();
    const uint64_t before = words_[number / 64] & ((uint64_t{1} << (number % 64)) - 1);
    return rank_[number / 64] + popcount(before);
  }

  Window window_;
  int64_t blocks_, columns_;
  std::vector<uint64_t> words_;
  std::vector<size_t> rank_;
};

Clusters clusters_of(const ConvDescription& conv) {
  const LiveColumns live(conv);
  Clusters clusters{std::vector<Column>(live.size()), std::vector<ClusterWeights>(live.size()), {}};
  for_each_weight(conv, [&](const Weight& w) {
    if (w.value == 0) return;
    const size_t k = live.rank(w);
    clusters.columns[k] = {w.i, static_cast<int16_t>(w.y - conv.window.pad_top),
                           static_cast<int16_t>(w.x - conv.window.pad_left)};
    clusters.weights[k][static_cast<size_t>(w.o % kChannelBlock)] = w.value;
  });
  for (int b = 0; b <= blocks_of(conv.out_channels); ++b) clusters.block_begin.push_back(live.block_begin(b));
  return clusters;
}

bool same_columns(const Block& a, const Block& b) {
  return std::equal(a.columns, a.columns + a.count, b.columns, b.columns + b.count);
}

std::vector<BlockGroup> group_blocks(const std::vector<Block>& blocks, int max_group) {
  std::vector<BlockGroup> groups;
  int64_t columns_at = 0, weights_at = 0;
  for (size_t b = 0; b < blocks.size();) {
    const bool pair = max_group >= 2 && b + 1 < blocks.size() && same_columns(blocks[b], blocks[b + 1]);
    BlockGroup group;
    group.first_block = static_cast<int>(b);
    group.blocks = pair ? 2 : 1;
    group.columns_at = columns_at;
    group.columns = static_cast<int64_t>(blocks[b].count);
    group.weights_at = weights_at;
    groups.push_back(group);
    columns_at += group.columns;
    weights_at += group.columns * group.blocks * kChannelBlock;
    b += static_cast<size_t>(group.blocks);
  }
  return groups;
}

void fill_group(PackedConv& packed, const BlockGroup& group, const std::vector<Block>& blocks) {
  float* weights = packed.weights.data() + group.weights_at;
  for (size_t k = 0; k < static_cast<size_t>(group.columns); ++k) {
    packed.columns.push_back(blocks[static_cast<size_t>(group.first_block)].columns[k]);
    for (int b = 0; b < group.blocks; ++b) {
      const ClusterWeights& cluster = blocks[static_cast<size_t>(group.first_block + b)].weights[k];
      weights = std::copy(cluster.begin(), cluster.end(), weights);
    }
  }
}

void fill_bias(PackedConv& packed, const Op& op) {
  packed.bias = AlignedArray<float>(static_cast<size_t>(packed.blocks) * kChannelBlock);
  float* bias = packed.bias.data();
  for (const ConvDescription* conv : op.convs) {
    const std::vector<float> values = decode_bias(*conv);
    std::copy(values.begin(), values.end(), bias);
    bias += blocks_of(conv->out_channels) * kChannelBlock;
  }
}

void count(PackedConv& packed, const Op& op) {
  for (const ConvDescription* conv : op.convs) {
    packed.live_weights += count_live_weights(*conv);
    packed.all_weights += conv->weight_count();
    packed.live_clusters += count_live_clusters(*conv);
    packed.all_clusters += count_clusters(*conv);
  }
}

}  // namespace

PackedConv pack(const Op& op, int max_group) {
  PackedConv packed;
  std::vector<Clusters> convs;
  for (const ConvDescription* conv : op.convs) convs.push_back(clusters_of(*conv));
  std::vector<Block> blocks;
  for (const Clusters& conv : convs) {
    for (size_t b = 0; b + 1 < conv.block_begin.size(); ++b) {
      const size_t begin = conv.block_begin[b];
      blocks.push_back(
          {conv.columns.data() + begin, conv.weights.data() + begin, conv.block_begin[b + 1] - begin});
    }
  }
  packed.blocks = static_cast<int>(blocks.size());
  packed.relu = op.convs[0]->relu;
  packed.stride_h = op.convs[0]->window.stride_h;
  packed.stride_w = op.convs[0]->window.stride_w;
  packed.groups = group_blocks(blocks, max_group);
  const BlockGroup& last = packed.groups.back();
  packed.weights =
      AlignedArray<float>(static_cast<size_t>(last.weights_at + last.columns * last.blocks * kChannelBlock));
  for (const BlockGroup& group : packed.groups) fill_group(packed, group, blocks);
  fill_bias(packed, op);
  count(packed, op);
  return packed;
}

std::vector<int32_t> column_offsets(const PackedConv& conv, const Layout& input) {
  std::vector<int32_t> offsets;
  offsets.reserve(conv.columns.size());
  for (const Column& column : conv.columns) {
    const int64_t offset = input.channel_offset(column.channel) + column.dy * input.row_floats() +
                           int64_t{column.dx} * input.channel_step();
    offsets.push_back(static_cast<int32_t>(offset));  // plan.cc refuses buffers of 2^31 floats
  }
  return offsets;
}

}  // namespace squish
