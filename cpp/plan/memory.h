// Where each activation lies in the one arena.
#pragma once

#include <cstdint>
#include <vector>

namespace squish {

// A buffer that lives from the step that writes it to the last step that reads it, both included. In floats.
struct BufferLife {
  int64_t floats = 0;
  int first_step = 0, last_step = 0;
  int64_t offset = 0;  // out: from the arena's start, multiple of kArenaAlignment
};

inline constexpr int64_t kArenaAlignment = 16;  // floats: a cache line

// Gives every buffer its offset such that buffers alive at the same time do not overlap; returns the arena's size.
// Greedy by size, each at the lowest gap that holds it: within a few percent of the best for chains like ours.
int64_t place_buffers(std::vector<BufferLife>& buffers);

}  // namespace squish
