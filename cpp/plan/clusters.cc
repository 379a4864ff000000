#include "plan/clusters.h"

#include "format/weights.h"
#include "plan/layout.h"
#include "plan/ranked_bits.h"

namespace squish {
namespace {

// The living columns of all output blocks. Columns are numbered with input blocks outermost: consecutive clusters then read
// the same few rows of one channel block.
class LiveColumns {
 public:
  explicit LiveColumns(const ConvDescription& conv)
      : window_(conv.window),
        columns_(blocks_of(conv.in_channels) * conv.kernel_area() * kChannelBlock),
        live_(blocks_of(conv.out_channels) * columns_) {
    for_each_weight(conv, [&](const Weight& w) {
      if (w.value != 0) live_.insert(number(w));
    });
    live_.count();
  }

  size_t size() const { return live_.size(); }
  // How many come before this one.
  size_t rank(const Weight& w) const { return live_.rank(number(w)); }
  size_t block_begin(int block) const { return live_.rank(static_cast<size_t>(block * columns_)); }

 private:
  size_t number(const Weight& w) const {
    const int64_t position = int64_t{w.y} * window_.kernel_w + w.x;
    const int64_t area = int64_t{window_.kernel_h} * window_.kernel_w;
    const int64_t column = (w.i / kChannelBlock * area + position) * kChannelBlock + w.i % kChannelBlock;
    return static_cast<size_t>(w.o / kChannelBlock * columns_ + column);
  }

  Window window_;
  int64_t columns_;  // of a block, living or not
  RankedBits live_;
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
