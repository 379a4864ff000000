#include "cpu/integer_pack.h"

#include <algorithm>

namespace squish {
namespace {

using Block = QuadClusters::Block;

bool same_columns(const Block& a, const Block& b) {
  return std::equal(a.columns, a.columns + a.count, b.columns, b.columns + b.count);
}

// Whether b's activations follow those of a, in an input in blocks of `block` channels.
bool side_by_side(const QuadColumn& a, const QuadColumn& b, int block) {
  if (a.dy != b.dy) return false;
  if (block == kQuadBlock) return a.quad == b.quad && a.dx + 1 == b.dx;
  return a.dx == b.dx && a.quad + 1 == b.quad && b.quad % (block / kQuadBlock) != 0;
}

// The columns of a block as the kernels like them: in their order, or pairs that lie side by side before all others.
std::vector<size_t> column_order(const Block& block, int input_block, bool pairs_first) {
  std::vector<size_t> order, others;
  for (size_t k = 0; k < block.count; ++k) {
    if (pairs_first && k + 1 < block.count &&
        side_by_side(block.columns[k], block.columns[k + 1], input_block)) {
      order.insert(order.end(), {k, k + 1});
      ++k;
    } else {
      others.push_back(k);
    }
  }
  order.insert(order.end(), others.begin(), others.end());
  return order;
}

// Appends groups: two blocks where their clusters lie in the same places.
void add_groups(PackedIntegerConv& packed, const std::vector<Block>& blocks, int input_block,
                const IntegerKernels& kernels) {
  std::vector<int8_t> weights;
  for (size_t b = 0; b < blocks.size();) {
    const bool pair =
        kernels.max_group >= 2 && b + 1 < blocks.size() && same_columns(blocks[b], blocks[b + 1]);
    BlockGroup group;
    group.first_block = static_cast<int>(b);
    group.blocks = pair ? 2 : 1;
    group.columns_at = static_cast<ptrdiff_t>(packed.columns.size());
    group.columns = static_cast<ptrdiff_t>(blocks[b].count);
    group.weights_at =
        static_cast<ptrdiff_t>(weights.size() / QuadClusterWeights().size()) * kernels.cluster_bytes;
    for (size_t k : column_order(blocks[b], input_block, kernels.column_pairs)) {
      packed.columns.push_back(blocks[b].columns[k]);
      for (size_t of = b; of < b + static_cast<size_t>(group.blocks); ++of)
        weights.insert(weights.end(), blocks[of].weights[k].begin(), blocks[of].weights[k].end());
    }
    packed.groups.push_back(group);
    b += static_cast<size_t>(group.blocks);
  }
  const size_t clusters = weights.size() / QuadClusterWeights().size();
  packed.weights = AlignedArray<uint8_t>(clusters * static_cast<size_t>(kernels.cluster_bytes));
  const int8_t* unpacked = weights.data();
  for (const BlockGroup& group : packed.groups) {
    const ptrdiff_t count = group.columns * group.blocks;
    if (count > 0) kernels.pack(unpacked, count, packed.weights.data() + group.weights_at);
    unpacked += count * static_cast<ptrdiff_t>(QuadClusterWeights().size());
  }
}

template <typename T>
AlignedArray<T> aligned(const std::vector<T>& values) {
  AlignedArray<T> array(values.size());
  std::copy(values.begin(), values.end(), array.data());
  return array;
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
  add_groups(packed, blocks, input.block, kernels);
  ResultConstants constants;
  for (const ConvDescription* conv : op.convs)
    add_result_constants(*conv, output, kernels.activation_offset, constants);
  packed.start = aligned(constants.start);
  packed.factor = aligned(constants.factor);
  packed.term = aligned(constants.term);
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
