#include "plan/memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "memory_size.h"
#include "support/random.h"

namespace squish {
namespace {

bool lives_at(const BufferLife& buffer, int step) {
  return buffer.first_step <= step && step <= buffer.last_step;
}

int64_t padded(int64_t floats) { return (floats + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

// The most floats that live at one time: no arena can be smaller.
int64_t most_alive(const std::vector<BufferLife>& buffers) {
  int64_t most = 0;
  for (const BufferLife& at : buffers) {
    int64_t alive = 0;
    for (const BufferLife& b : buffers) alive += lives_at(b, at.first_step) ? b.floats : 0;
    most = std::max(most, alive);
  }
  return most;
}

int64_t sum_of_all(const std::vector<BufferLife>& buffers) {
  int64_t sum = 0;
  for (const BufferLife& b : buffers) sum += padded(b.floats);
  return sum;
}

void expect_sound(const std::vector<BufferLife>& buffers, int64_t arena) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    const BufferLife& a = buffers[i];
    EXPECT_EQ(a.offset % kArenaAlignment, 0);
    EXPECT_GE(a.offset, 0);
    EXPECT_LE(a.offset + a.floats, arena);
    for (size_t j = 0; j < i; ++j) {
      const BufferLife& b = buffers[j];
      const bool together = lives_at(a, b.first_step) || lives_at(b, a.first_step);
      const bool apart = a.offset + a.floats <= b.offset || b.offset + b.floats <= a.offset;
      EXPECT_TRUE(!together || apart) << "buffers " << j << " and " << i << " overlap";
    }
  }
  EXPECT_GE(arena, most_alive(buffers));
  EXPECT_LE(arena, sum_of_all(buffers));
}

TEST(Memory, BuffersAliveTogetherNeverOverlap) {
  testing::Random random(1);
  for (int round = 0; round < 2000 && !::testing::Test::HasFailure(); ++round) {
    std::vector<BufferLife> buffers(static_cast<size_t>(random.between(0, 24)));
    for (BufferLife& buffer : buffers) {
      buffer.floats = random.chance(0.5) ? random.between(1, 100) : random.between(1, 100000);
      buffer.first_step = random.between(-1, 20);
      buffer.last_step = buffer.first_step + random.between(0, 6);
    }
    expect_sound(buffers, place_buffers(buffers));
  }
}

TEST(Memory, ChainNeedsNoMoreThanItsWidestLink) {
  std::vector<BufferLife> chain;
  for (int step = 0; step < 10; ++step) chain.push_back({1000 * (step + 1), step, step + 1, 0});
  const int64_t arena = place_buffers(chain);
  expect_sound(chain, arena);
  EXPECT_EQ(arena, padded(10000) + padded(9000));
}

TEST(Memory, LastStepOfOneIsNotFreeForAnother) {
  std::vector<BufferLife> buffers = {{64, 0, 1, 0}, {64, 1, 2, 0}, {64, 2, 3, 0}};
  EXPECT_EQ(place_buffers(buffers), 128);
  EXPECT_NE(buffers[0].offset, buffers[1].offset);
  EXPECT_EQ(buffers[0].offset, buffers[2].offset);
}

TEST(Memory, NothingNeedsNothing) {
  std::vector<BufferLife> none;
  EXPECT_EQ(place_buffers(none), 0);
}

TEST(MemorySize, IsRefusedWhereNoMemoryHoldsAsMany) {
  constexpr uint64_t kMost = PTRDIFF_MAX / sizeof(float);
  EXPECT_EQ(memory_size<float>(int64_t{0}), 0u);
  EXPECT_EQ(memory_size<float>(kMost), kMost);
  EXPECT_THROW(memory_size<float>(kMost + 1), std::bad_alloc);
  EXPECT_THROW(memory_size<uint8_t>(~uint64_t{0}), std::bad_alloc);
}

}  // namespace
}  // namespace squish
