#include "plan/memory.h"

#include <algorithm>
#include <numeric>

namespace squish {
namespace {

int64_t align_up(int64_t n) { return (n + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

bool alive_together(const BufferLife& a, const BufferLife& b) {
  return a.first_step <= b.last_step && b.first_step <= a.last_step;
}

}  // namespace

int64_t place_buffers(std::vector<BufferLife>& buffers) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return buffers[a].floats > buffers[b].floats; });
  std::vector<size_t> placed;  // by offset
  int64_t arena = 0;
  for (size_t index : order) {
    BufferLife& buffer = buffers[index];
    buffer.offset = 0;
    for (size_t other : placed) {
      if (!alive_together(buffer, buffers[other])) continue;
      if (buffer.offset + buffer.floats <= buffers[other].offset) break;
      buffer.offset = std::max(buffer.offset, align_up(buffers[other].offset + buffers[other].floats));
    }
    arena = std::max(arena, align_up(buffer.offset + buffer.floats));
    const auto after = std::upper_bound(placed.begin(), placed.end(), index, [&](size_t a, size_t b) {
      return buffers[a].offset < buffers[b].offset;
    });
    placed.insert(after, index);
  }
  return arena;
}

}  // namespace squish
