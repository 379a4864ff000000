// A set of small numbers with the rank of each: which clusters live, and where each of them is packed. Called by packers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "memory_size.h"

namespace squish {

// Of numbers below `size`: two bits each in memory.
class RankedBits {
 public:
  explicit RankedBits(int64_t size) : words_((memory_size<uint8_t>(size) + 63) / 64) {}

  void insert(size_t number) { words_[number / 64] |= uint64_t{1} << (number % 64); }
  // After the last insert(), before the first rank().
  void count() {
    rank_.assign(1, 0);
    for (uint64_t word : words_) rank_.push_back(rank_.back() + popcount(word));
  }

  size_t size() const { return rank_.back(); }
  // How many members are below this number.
  size_t rank(size_t number) const {
    if (number / 64 == words_.size()) return rank_.back();
    const uint64_t before = words_[number / 64] & ((uint64_t{1} << (number % 64)) - 1);
    return rank_[number / 64] + popcount(before);
  }

 private:
  static size_t popcount(uint64_t bits) { return static_cast<size_t>(__builtin_popcountll(bits)); }

  std::vector<uint64_t> words_;
  std::vector<size_t> rank_;  // of each word's first number
};

}  // namespace squish
