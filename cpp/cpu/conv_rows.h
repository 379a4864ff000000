// The rows of a convolution's groups: how they are shared out, and pooled while they are in cache. The same for every
// arithmetic.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "cpu/pack.h"
#include "cpu/view.h"
#include "squish/model.h"

namespace squish {

// Where a task's output goes: the first pixel, and the strides.
template <typename T>
struct Target {
  T* data;
  ptrdiff_t row, block;
};

// Convolves and pools 3x3 windows with stride 2. Of the three rows under a row of windows the first two are maximised
// as they are computed, into `upper`; the third, which the next windows share, becomes their `upper`.
// group_conv.row(y, target, running_max) computes a row of task.width pixels; `task` is the pool's, as pool_task() gives it, or
// of windows one wide, where such a row is pooled already; scratch holds 2 rows of the group's blocks.
template <typename GroupConv, typename Task, typename T>
void conv_pooled(GroupConv& group_conv, const BlockGroup& group, int height, void (*max_pool)(const Task&),
                 Task task, View<T> out, T* scratch, Range pooled_rows) {
  const ptrdiff_t row_values = ptrdiff_t{task.width} * kChannelBlock;
  T *upper = scratch, *lower = scratch + group.blocks * row_values;  // [blocks][width][16]
  for (int r = pooled_rows.begin; r < pooled_rows.end; ++r) {
    const int top = r * 2, rows = std::min(3, height - top);
    if (r == pooled_rows.begin) group_conv.row(top, {upper, 0, row_values}, false);
    if (rows > 1) group_conv.row(top + 1, {upper, 0, row_values}, true);
    if (rows > 2) group_conv.row(top + 2, {lower, 0, row_values}, false);
    task.input_row = lower - upper;
    task.rows = rows > 2 ? 2 : 1;
    for (int b = 0; b < group.blocks; ++b) {
      task.input = upper + b * row_values;
      task.output = out.pixel(group.first_block + b, r, 0);
      max_pool(task);
    }
    std::swap(upper, lower);
  }
}

// Cuts groups x rows into shares of equal cost, not of equal count: the clusters of an expand 1x1 and an expand 3x3
// differ nine times.
template <typename Body>
void for_each_group_band(const std::vector<BlockGroup>& groups, int rows, Share share, Body&& body) {
  const auto cost_of = [](const BlockGroup& group) { return (int64_t{group.columns} + 8) * group.blocks; };
  int64_t total = 0;
  for (const BlockGroup& group : groups) total += cost_of(group) * rows;
  const int64_t begin = total * share.index / share.count, end = total * (share.index + 1) / share.count;
  int64_t before = 0;
  for (const BlockGroup& group : groups) {
    const int64_t cost = cost_of(group);
    const auto row_at = [&](int64_t at) {
      return static_cast<int>(std::clamp<int64_t>((at - before + cost - 1) / cost, 0, rows));
    };
    const Range band{row_at(std::max(begin, before)), row_at(std::max(end, before))};
    if (band.begin < band.end) body(group, band);
    before += cost * rows;
  }
}

}  // namespace squish
