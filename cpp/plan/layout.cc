#include "plan/layout.h"

#include <numeric>

namespace squish {

int Layout::channels() const { return std::accumulate(segments.begin(), segments.end(), 0); }

int Layout::blocks() const {
  if (planar) return channels();
  int blocks = 0;
  for (int channels : segments) blocks += blocks_of(channels);
  return blocks;
}

int64_t Layout::channel_offset(int c) const {
  if (planar) return c * block_floats();
  int64_t block = 0;
  for (int channels : segments) {
    if (c < channels) return (block + c / kChannelBlock) * block_floats() + c % kChannelBlock;
    c -= channels;
    block += blocks_of(channels);
  }
  return -1;  // c is below channels()
}

}  // namespace squish
