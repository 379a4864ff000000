#include "cpu/integer_pack.h"

#include <algorithm>
#include <array>

#include "format/weights.h"
#include "plan/ranked_bits.h"

namespace squish {
namespace {

using ClusterValues =
    std::array<int8_t, kClusterOutputs * kClusterInputs>;  // [output of the block][input of the quad]

// The living clusters of one output block, by block of input channels, kernel position and quad: a piece of a QuadClusters.
struct Block {
  const QuadColumn* columns;
  const ClusterValues* weights;
  size_t count;
};

bool same_columns(const Block& a, const Block& b) {
  return std::equal(a.columns, a.columns + a.count, b.columns, b.columns + b.count);
}

// The living clusters of one convolution.
class QuadClusters {
 public:
  QuadClusters(const ConvDescription& conv, const Layout& input)
      : window_(conv.window),
        quads_of_block_(input.block / kQuadBlock),
        blocks_(blocks_of(conv.out_channels)),
        all_columns_(int64_t{input.blocks()} * conv.kernel_area() * quads_of_block_),
        live_(static_cast<size_t>(all())) {
    const Layout pixel{
        input.segments, 1, 1, {}, input.block};  // where channels lie, seen from a pixel's first
    for (int c = 0; c < conv.in_channels; ++c) slots_.push_back(static_cast<int>(pixel.channel_offset(c)));
    for_each_integer_weight(conv, [&](const IntegerWeight& w) {
      if (w.value != 0) live_.insert(number(w));
    });
    live_.count();
    columns_.resize(live_.size());
    weights_.resize(live_.size());
    for_each_integer_weight(conv, [&](const IntegerWeight& w) {
      if (w.value == 0) return;
      const size_t k = live_.rank(number(w));
      const int slot = slots_[static_cast<size_t>(w.i)];
      columns_[k] = {slot / kQuadBlock, static_cast<int16_t>(w.y - window_.pad_top),
                     static_cast<int16_t>(w.x - window_.pad_left)};
      weights_[k][static_cast<size_t>(w.o % kChannelBlock * kClusterInputs + slot % kQuadBlock)] =
          static_cast<int8_t>(w.value);
    });
  }

  // Living or not.
  int64_t all() const { return blocks_ * all_columns_; }
  size_t size() const { return live_.size(); }
  int blocks() const { return blocks_; }
  Block block(int b) const {
    const size_t begin = live_.rank(static_cast<size_t>(b * all_columns_));
    const size_t end = live_.rank(static_cast<size_t>((b + 1) * all_columns_));
    return {columns_.data() + begin, weights_.data() + begin, end - begin};
  }

 private:
  size_t number(const IntegerWeight& w) const {
    const int quad = slots_[static_cast<size_t>(w.i)] / kQuadBlock;
    const int64_t area = int64_t{window_.kernel_h} * window_.kernel_w;
    const int64_t position = int64_t{w.y} * window_.kernel_w + w.x;
    const int64_t column =
        (quad / quads_of_block_ * area + position) * quads_of_block_ + quad % quads_of_block_;
    return static_cast<size_t>(w.o / kChannelBlock * all_columns_ + column);
  }

  Window window_;
  int quads_of_block_;
  int blocks_;
  int64_t all_columns_;  // of each block, living or not
  RankedBits live_;
  std::vector<int> slots_;  // of each input channel: its place among the channels of the layout
  std::vector<QuadColumn> columns_;
  std::vector<ClusterValues> weights_;
};

// Appends groups: two blocks where their clusters lie in the same places.
void add_groups(PackedIntegerConv& packed, const std::vector<Block>& blocks, const IntegerKernels& kernels) {
  std::vector<int8_t> weights;
  for (size_t b = 0; b < blocks.size();) {
    const bool pair =
        kernels.max_group >= 2 && b + 1 < blocks.size() && same_columns(blocks[b], blocks[b + 1]);
    BlockGroup group;
    group.first_block = static_cast<int>(b);
    group.blocks = pair ? 2 : 1;
    group.columns_at = static_cast<int64_t>(packed.columns.size());
    group.columns = static_cast<int64_t>(blocks[b].count);
    group.weights_at = static_cast<int64_t>(weights.size() / ClusterValues().size()) * kernels.cluster_bytes;
    packed.columns.insert(packed.columns.end(), blocks[b].columns, blocks[b].columns + blocks[b].count);
    for (size_t k = 0; k < blocks[b].count; ++k) {
      for (size_t of = b; of < b + static_cast<size_t>(group.blocks); ++of)
        weights.insert(weights.end(), blocks[of].weights[k].begin(), blocks[of].weights[k].end());
    }
    packed.groups.push_back(group);
    b += static_cast<size_t>(group.blocks);
  }
  const size_t clusters = weights.size() / ClusterValues().size();
  packed.weights = AlignedArray<uint8_t>(clusters * static_cast<size_t>(kernels.cluster_bytes));
  if (clusters > 0) kernels.pack(weights.data(), static_cast<ptrdiff_t>(clusters), packed.weights.data());
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
  std::vector<QuadClusters> convs;
  convs.reserve(op.convs.size());
  for (const ConvDescription* conv : op.convs) convs.emplace_back(*conv, input);
  std::vector<Block> blocks;
  for (const QuadClusters& conv : convs) {
    packed.all_clusters += conv.all();
    packed.live_clusters += static_cast<int64_t>(conv.size());
    for (int b = 0; b < conv.blocks(); ++b) blocks.push_back(conv.block(b));
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
