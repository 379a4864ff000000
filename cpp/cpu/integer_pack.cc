#include "cpu/integer_pack.h"

#include <algorithm>
#include <array>

#include "format/weights.h"

namespace squish {
namespace {

using ClusterValues =
    std::array<int8_t, kClusterOutputs * kClusterInputs>;  // [output of the block][input of the quad]

// The living clusters of one output block, by block of input channels, kernel position and quad.
struct Block {
  std::vector<QuadColumn> columns;
  std::vector<ClusterValues> weights;
};

// Puts the weights of one convolution into the clusters of its blocks.
class QuadClusters {
 public:
  QuadClusters(const ConvDescription& conv, const Layout& input)
      : window_(conv.window), quads_of_block_(input.block == kQuadBlock ? 1 : kChannelBlock / kQuadBlock) {
    Layout pixel{input.segments, 1, 1, {}, input.block};  // where channels lie, seen from a pixel's first
    for (int c = 0; c < conv.in_channels; ++c) slots_.push_back(static_cast<int>(pixel.channel_offset(c)));
    columns_ = int64_t{pixel.blocks()} * conv.kernel_area() * quads_of_block_;
    std::vector<int32_t> index(static_cast<size_t>(blocks_of(conv.out_channels) * columns_), kDead);
    for_each_integer_weight(conv, [&](const IntegerWeight& w) {
      if (w.value != 0) index[number(w)] = 0;
    });
    blocks_.resize(static_cast<size_t>(blocks_of(conv.out_channels)));
    for (size_t n = 0; n < index.size(); ++n) {
      if (index[n] != kDead) index[n] = add_column(static_cast<int64_t>(n));
    }
    for_each_integer_weight(conv, [&](const IntegerWeight& w) {
      if (w.value == 0) return;
      const int lane = w.o % kChannelBlock * kClusterInputs + slots_[static_cast<size_t>(w.i)] % kQuadBlock;
      ClusterValues& cluster =
          blocks_[static_cast<size_t>(w.o / kChannelBlock)].weights[static_cast<size_t>(index[number(w)])];
      cluster[static_cast<size_t>(lane)] = static_cast<int8_t>(w.value);
    });
  }

  int64_t all() const { return static_cast<int64_t>(blocks_.size()) * columns_; }
  std::vector<Block> blocks() && { return std::move(blocks_); }

 private:
  static constexpr int32_t kDead = -1;

  size_t number(const IntegerWeight& w) const {
    const int quad = slots_[static_cast<size_t>(w.i)] / kQuadBlock;
    const int64_t area = int64_t{window_.kernel_h} * window_.kernel_w;
    const int64_t position = int64_t{w.y} * window_.kernel_w + w.x;
    const int64_t column =
        (quad / quads_of_block_ * area + position) * quads_of_block_ + quad % quads_of_block_;
    return static_cast<size_t>(w.o / kChannelBlock * columns_ + column);
  }

  // Its place in its block.
  int32_t add_column(int64_t number) {
    Block& block = blocks_[static_cast<size_t>(number / columns_)];
    const int64_t column = number % columns_, area = int64_t{window_.kernel_h} * window_.kernel_w;
    const int64_t position = column / quads_of_block_ % area;
    const int64_t quad = column / (quads_of_block_ * area) * quads_of_block_ + column % quads_of_block_;
    block.columns.push_back({static_cast<int>(quad),
                             static_cast<int16_t>(position / window_.kernel_w - window_.pad_top),
                             static_cast<int16_t>(position % window_.kernel_w - window_.pad_left)});
    block.weights.push_back({});
    return static_cast<int32_t>(block.columns.size()) - 1;
  }

  Window window_;
  int quads_of_block_;
  int64_t columns_;         // of each block, living or not
  std::vector<int> slots_;  // of each input channel: its place among the channels of the layout
  std::vector<Block> blocks_;
};

// Appends groups: two blocks where their clusters lie in the same places.
void add_groups(PackedIntegerConv& packed, const std::vector<Block>& blocks, const IntegerKernels& kernels) {
  std::vector<int8_t> weights;
  for (size_t b = 0; b < blocks.size();) {
    const bool pair =
        kernels.max_group >= 2 && b + 1 < blocks.size() && blocks[b].columns == blocks[b + 1].columns;
    BlockGroup group;
    group.first_block = static_cast<int>(b);
    group.blocks = pair ? 2 : 1;
    group.columns_at = static_cast<int64_t>(packed.columns.size());
    group.columns = static_cast<int64_t>(blocks[b].columns.size());
    group.weights_at = static_cast<int64_t>(weights.size() / ClusterValues().size()) * kernels.cluster_bytes;
    packed.columns.insert(packed.columns.end(), blocks[b].columns.begin(), blocks[b].columns.end());
    for (size_t k = 0; k < blocks[b].columns.size(); ++k) {
      for (size_t of = b; of < b + static_cast<size_t>(group.blocks); ++of)
        weights.insert(weights.end(), blocks[of].weights[k].begin(), blocks[of].weights[k].end());
    }
    packed.groups.push_back(group);
    b += static_cast<size_t>(group.blocks);
  }
  const size_t clusters = weights.size() / ClusterValues().size();
  packed.weights = AlignedArray<uint8_t>(clusters * static_cast<size_t>(kernels.cluster_bytes));
  kernels.pack(weights.data(), static_cast<ptrdiff_t>(clusters), packed.weights.data());
}

// From sums to results, for the channels of one convolution; the block's other lanes give what stands for zero.
void fill_constants(PackedIntegerConv& packed, const ConvDescription& conv, int first_block, int offset) {
  const bool to_bytes = packed.output.is_bytes();
  const std::vector<float> scales = decode_scale(conv), biases = decode_bias(conv);
  const ptrdiff_t first = ptrdiff_t{first_block} * kChannelBlock;
  int32_t* start = packed.start.data() + first;
  float *factor = packed.factor.data() + first, *term = packed.term.data() + first;
  std::fill_n(term, blocks_of(conv.out_channels) * kChannelBlock, static_cast<float>(packed.output.zero));
  for (size_t o = 0; o < scales.size(); ++o) {
    const double scale = scales[o] * double{packed.input.scale}, bias = biases[o];
    factor[o] = static_cast<float>(to_bytes ? scale / packed.output.scale : scale);
    term[o] = static_cast<float>(to_bytes ? bias / packed.output.scale + packed.output.zero : bias);
  }
  for_each_integer_weight(
      conv, [&](const IntegerWeight& w) { start[w.o] += (offset - packed.input.zero) * w.value; });
}

}  // namespace

PackedIntegerConv pack_integers(const Op& op, const Layout& input, const Quantisation& output,
                                const IntegerKernels& kernels) {
  PackedIntegerConv packed;
  packed.input = op.convs[0]->activation;
  packed.output = output;
  packed.relu = op.convs[0]->relu;
  packed.stride_h = op.convs[0]->window.stride_h;
  packed.stride_w = op.convs[0]->window.stride_w;
  packed.census = take_census(op);
  std::vector<Block> blocks;
  for (const ConvDescription* conv : op.convs) {
    QuadClusters clusters(*conv, input);
    packed.all_clusters += clusters.all();
    for (Block& block : std::move(clusters).blocks()) {
      packed.live_clusters += static_cast<int64_t>(block.columns.size());
      blocks.push_back(std::move(block));
    }
  }
  packed.blocks = static_cast<int>(blocks.size());
  add_groups(packed, blocks, kernels);
  const size_t lanes = blocks.size() * kChannelBlock;
  packed.start = AlignedArray<int32_t>(lanes);
  packed.factor = AlignedArray<float>(lanes);
  packed.term = AlignedArray<float>(lanes);
  int block = 0;
  for (const ConvDescription* conv : op.convs) {
    fill_constants(packed, *conv, block, kernels.activation_offset);
    block += blocks_of(conv->out_channels);
  }
  return packed;
}

std::vector<int32_t> column_offsets(const PackedIntegerConv& conv, const Layout& input) {
  std::vector<int32_t> offsets;
  offsets.reserve(conv.columns.size());
  for (const QuadColumn& column : conv.columns) {
    const int64_t channel = int64_t{column.quad} * kQuadBlock;
    const int64_t offset = channel / input.block * input.block_values() + channel % input.block +
                           column.dy * input.row_values() + int64_t{column.dx} * input.channel_step();
    offsets.push_back(static_cast<int32_t>(offset));  // plan.cc refuses buffers of 2^31 values
  }
  return offsets;
}

}  // namespace squish
