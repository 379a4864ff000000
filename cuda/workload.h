// What choices of kernels are made from, and what they come to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cuda/tasks.h"

namespace squish::cuda {

// What is to be computed, and on what.
struct Workload {
  int height = 0, width = 0;          // of the convolution's output
  int out_height = 0, out_width = 0;  // of the op's: smaller where it is pooled
  bool pooled = false;
  int64_t images = 1;
  int multiprocessors = 1;
};

// How a Fire runs: whole, or as a squeeze and expands.
struct FireChoice {
  bool whole = false;
  Tiling tiling{};  // where it is whole
  int splits = 1;
  int64_t steps_whole = 0, steps_apart = 0;
};

template <typename A, typename B>
constexpr auto divide_up(A a, B b) -> decltype(a + b) {
  return (a + b - 1) / b;
}

inline bool operator==(const Tiling& a, const Tiling& b) {
  return a.height == b.height && a.width == b.width && a.rows == b.rows && a.columns == b.columns;
}

// What costs least in the model first.
inline void sort_by_cost(std::vector<FireChoice>* fires) {
  std::stable_sort(fires->begin(), fires->end(),
                   [](const FireChoice& a, const FireChoice& b) { return a.steps_whole < b.steps_whole; });
}

// Among how many blocks of threads so many blocks or bundles of a tile could be split: 1, 2, 4, ... and all of them.
inline std::vector<int> several_splits(int most) {
  std::vector<int> all;
  for (int splits = 1; splits < most; splits *= 2) all.push_back(splits);
  if (most > 0) all.push_back(most);
  return all;
}

// Of the convolution's output under so many pixels of the op's.
inline int conv_extent(int extent, bool pooled) { return pooled ? 2 * extent + 1 : extent; }

}  // namespace squish::cuda
