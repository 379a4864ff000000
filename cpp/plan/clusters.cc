#include "plan/clusters.h"

#include "format/weights.h"
#include "plan/layout.h"

namespace squish {
namespace {

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

}  // namespace

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

}  // namespace squish
