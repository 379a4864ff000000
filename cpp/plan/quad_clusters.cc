#include "plan/quad_clusters.h"

namespace squish {

QuadClusters::QuadClusters(const ConvDescription& conv, const Layout& input)
    : window_(conv.window),
      quads_of_block_(input.block / kQuadBlock),
      blocks_(blocks_of(conv.out_channels)),
      all_columns_(int64_t{input.blocks()} * conv.kernel_area() * quads_of_block_),
      live_(all()) {
  const Layout pixel{input.segments, 1, 1, {}, input.block};  // where channels lie, seen from a pixel's first
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
    weights_[k][static_cast<size_t>(w.o % kChannelBlock * kQuadBlock + slot % kQuadBlock)] =
        static_cast<int8_t>(w.value);
  });
}

QuadClusters::Block QuadClusters::block(int b) const {
  const size_t begin = live_.rank(static_cast<size_t>(b * all_columns_));
  const size_t end = live_.rank(static_cast<size_t>((b + 1) * all_columns_));
  return {columns_.data() + begin, weights_.data() + begin, end - begin};
}

size_t QuadClusters::number(const IntegerWeight& w) const {
  const int quad = slots_[static_cast<size_t>(w.i)] / kQuadBlock;
  const int64_t area = int64_t{window_.kernel_h} * window_.kernel_w;
  const int64_t position = int64_t{w.y} * window_.kernel_w + w.x;
  const int64_t column =
      (quad / quads_of_block_ * area + position) * quads_of_block_ + quad % quads_of_block_;
  return static_cast<size_t>(w.o / kChannelBlock * all_columns_ + column);
}

void add_result_constants(const ConvDescription& conv, const Quantisation& output, int offset,
                          ResultConstants& constants) {
  const bool to_bytes = output.is_bytes();
  const std::vector<float> scales = decode_scale(conv), biases = decode_bias(conv);
  const size_t first = constants.start.size();
  const size_t end = first + static_cast<size_t>(blocks_of(conv.out_channels)) * kChannelBlock;
  constants.start.resize(end);
  constants.factor.resize(end);
  constants.term.resize(end, static_cast<float>(output.zero));
  for (size_t o = 0; o < scales.size(); ++o) {
    const double scale = scales[o] * double{conv.activation.scale}, bias = biases[o];
    constants.factor[first + o] = static_cast<float>(to_bytes ? scale / output.scale : scale);
    constants.term[first + o] = static_cast<float>(to_bytes ? bias / output.scale + output.zero : bias);
  }
  for_each_integer_weight(conv, [&](const IntegerWeight& w) {
    constants.start[first + static_cast<size_t>(w.o)] += (offset - conv.activation.zero) * w.value;
  });
}

}  // namespace squish
