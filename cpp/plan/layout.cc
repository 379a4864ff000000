#include "plan/layout.h"

#include <numeric>

namespace squish {

int Layout::channels() const { return std::accumulate(segments.begin(), segments.end(), 0); }

int Layout::blocks() const {
  int count = 0;
  for (int channels : segments) count += blocks_of(channels, block);
  return count;
}

int64_t Layout::channel_offset(int c) const {
  int64_t before = 0;
  for (int channels : segments) {
    if (c < channels) return (before + c / block) * block_values() + c % block;
    c -= channels;
    before += blocks_of(channels, block);
  }
  return -1;  // c is below channels()
}

}  // namespace squish
