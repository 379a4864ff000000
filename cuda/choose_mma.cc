#include "cuda/choose_mma.h"

#include <algorithm>
#include <limits>

#include "cuda/choose.h"
#include "cuda/kernel_table.h"

namespace squish::cuda {
namespace {

constexpr int64_t kBusyWarps = 8;  // that keep a multiprocessor's tensor cores busy
constexpr int kMinSlicedWarps = 4;
constexpr int kSliceSteps = 2;           // at least
constexpr int64_t kMmaBlocksAtOnce = 2;  // that registers of a multiprocessor suffice for
constexpr int64_t kMmaLaunchSteps = 16;  // that one more launch in a graph costs
constexpr int64_t kFilledWarps = 32;     // of a multiprocessor that has several rounds of them to do
constexpr int64_t kPoolSteps = 4;        // that keeping a tile's results and pooling them costs
constexpr int kMaxFireEdge = 32;         // of a Fire's tile, in pixels of the output
constexpr int kMinPooledPixels = 32;     // of a convolution's output
constexpr size_t kTilingsOfSplits = 4;   // of whole Fires, that are candidates

// Steps that a warp takes one after the other, on average.
int64_t steps_each(const BundledSteps& convs) {
  return divide_up(convs.steps(), std::max<int64_t>(1, static_cast<int64_t>(convs.bundles.size())));
}

// A step of one tile of pixels and of two take about as 2 and 3.
int64_t step_cost(int tiles) { return tiles + 1; }

// Rounds of warps, by the steps of each.
int64_t cost_of_pooled(const Workload& work, const BundledSteps& convs, const MmaChoice& choice) {
  const int pixels = conv_extent(choice.tiling.height, true) * conv_extent(choice.tiling.width, true);
  const int64_t blocks = int64_t{choice.tiling.rows} * choice.tiling.columns *
                         static_cast<int64_t>(convs.bundles.size()) * work.images;
  const int64_t rounds =
      divide_up(blocks * choice.warps, int64_t{work.multiprocessors} * kMmaBlocksAtOnce * kMaxWarps);
  return rounds * divide_up(divide_up(pixels, choice.tiles * kTilePixels), choice.warps) *
         (steps_each(convs) * step_cost(choice.tiles) + kPoolSteps);
}

// Tiles of all sizes that may be worth it, the largest first.
std::vector<MmaChoice> pooled_mma_candidates(const Workload& work) {
  std::vector<MmaChoice> all;
  for (int pixels = kMaxPooledPixels; pixels >= kMinPooledPixels; pixels -= kTilePixels) {
    const auto tiling = choose_tiling(work.out_height, work.out_width, true, 0, pixels);
    if (!tiling) break;
    if (!all.empty() && all.back().tiling == *tiling) continue;
    for (int tiles : {2, 1}) {
      MmaChoice choice;
      choice.tiling = *tiling;
      choice.tiles = tiles;
      choice.warps =
          std::min(kMaxWarps, divide_up(conv_extent(tiling->height, true) * conv_extent(tiling->width, true),
                                        tiles * kTilePixels));
      all.push_back(choice);
    }
  }
  return all;
}

MmaChoice choose_mma_pooled(const Workload& work, const BundledSteps& convs) {
  MmaChoice best;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const MmaChoice& choice : pooled_mma_candidates(work)) {
    const int64_t cost = cost_of_pooled(work, convs, choice);
    if (cost >= least) continue;
    least = cost;
    best = choice;
  }
  return best;
}

}  // namespace

MmaChoice choose_mma(const Workload& work, const BundledSteps& convs) {
  const auto bundles = static_cast<int64_t>(convs.bundles.size());
  MmaChoice choice;
  if (work.pooled) return choose_mma_pooled(work, convs);
  const int64_t warps = divide_up(int64_t{work.height} * work.width * work.images, kTilePixels) * bundles;
  if (warps >= work.multiprocessors * kBusyWarps * 2) {
    choice.tiles = 2;
    choice.warps = kMaxWarps / 2;
    return choice;
  }
  while (choice.slices < kMaxWarps && warps * choice.slices < work.multiprocessors * kBusyWarps &&
         choice.slices * 2 * kSliceSteps <= convs.most_steps) {
    choice.slices *= 2;
  }
  choice.warps = choice.slices > 1
                     ? std::max(choice.slices, kMinSlicedWarps)
                     : static_cast<int>(std::clamp<int64_t>(warps / work.multiprocessors, 1, kMaxWarps));
  return choice;
}

namespace {

int64_t mma_rounds(int64_t blocks, const Workload& work) {
  return divide_up(blocks, int64_t{work.multiprocessors} * kMmaBlocksAtOnce);
}

// A step that reads global memory takes so many times one that reads shared memory.
constexpr int64_t kGlobalSteps = 2;

int64_t steps_of_conv_mma(const PackedBundles& convs, const Workload& work) {
  const MmaChoice choice = choose_mma(work, convs);
  const auto bundles = static_cast<int64_t>(convs.bundles.size());
  if (work.pooled) return cost_of_pooled(work, convs, choice) * kGlobalSteps / step_cost(1);
  const int64_t pixels = int64_t{work.height} * work.width * work.images;
  const int64_t blocks =
      divide_up(pixels, int64_t{choice.tiles} * kTilePixels * choice.warps / choice.slices) * bundles;
  return divide_up(blocks * choice.warps, int64_t{work.multiprocessors} * kMmaBlocksAtOnce * kMaxWarps) *
         divide_up(steps_each(convs), choice.slices) * kGlobalSteps;
}

// function(tiling) for those of a whole Fire that fit into shared memory.
template <typename Function>
void each_fire_tiling(const Workload& work, const PackedBundles& squeeze, const PackedBundles& expands,
                      int value_bytes, const Function& function) {
  for (int h = 1; h <= std::min(work.out_height, kMaxFireEdge); ++h) {
    for (int w = 1; w <= std::min(work.out_width, kMaxFireEdge); ++w) {
      Tiling tiling{h, w, divide_up(work.out_height, h), divide_up(work.out_width, w)};
      tiling.height = divide_up(work.out_height, tiling.rows);
      tiling.width = divide_up(work.out_width, tiling.columns);
      if (tiling.height != h || tiling.width != w) continue;  // as large as it must be for so many
      if (mma_fire_values(squeeze.blocks, tiling, work.pooled, expands.width, value_bytes) * value_bytes >
          kMmaSharedBytes)
        break;
      function(tiling);
    }
  }
}

constexpr int64_t kFirePixels = int64_t{2} * kTilePixels;  // of a warp

int64_t steps_of_fire_mma(const Workload& work, const PackedBundles& squeeze, const PackedBundles& expands,
                          const Tiling& tiling, int splits) {
  const auto squeeze_bundles = static_cast<int64_t>(squeeze.bundles.size()),
             expand_bundles = static_cast<int64_t>(expands.bundles.size());
  const int64_t height = conv_extent(tiling.height, work.pooled),
                width = conv_extent(tiling.width, work.pooled);
  const int64_t squeeze_steps =
      divide_up(divide_up((height + 2) * (width + 2), kFirePixels) * squeeze_bundles, kMaxWarps) *
      steps_each(squeeze);
  const int64_t groups = divide_up(height * width, kFirePixels), own = divide_up(expand_bundles, splits);
  const int64_t turns = work.pooled ? own * divide_up(groups, kMaxWarps) : divide_up(groups * own, kMaxWarps);
  const int64_t blocks = int64_t{tiling.rows} * tiling.columns * splits * work.images;
  return mma_rounds(blocks, work) * (squeeze_steps * kGlobalSteps + turns * steps_each(expands));
}

}  // namespace

FireChoice choose_fire_mma(const Workload& work, const PackedBundles& squeeze, const PackedBundles& expands,
                           int value_bytes) {
  FireChoice choice;
  Workload apart = work;
  apart.pooled = false;
  choice.steps_apart = steps_of_conv_mma(squeeze, apart) + kMmaLaunchSteps + steps_of_conv_mma(expands, work);
  choice.steps_whole = std::numeric_limits<int64_t>::max();
  const auto expand_bundles = static_cast<int>(expands.bundles.size());
  each_fire_tiling(work, squeeze, expands, value_bytes, [&](const Tiling& tiling) {
    for (int splits = 1; splits <= expand_bundles; ++splits) {
      const int64_t steps = steps_of_fire_mma(work, squeeze, expands, tiling, splits);
      if (steps >= choice.steps_whole) continue;
      choice.steps_whole = steps;
      choice.tiling = tiling;
      choice.splits = splits;
    }
  });
  // With fewer a device is not filled, and what counts is how soon each block of threads is done. Stored as floats, three products
  // a weight leave the loads that shared memory saves without weight. Both were measured, on an H200.
  const int64_t expand_warps =
      divide_up(int64_t{work.height} * work.width * work.images, kFirePixels) * expand_bundles;
  choice.whole = choice.steps_whole < choice.steps_apart && value_bytes == 2 &&
                 expand_warps >= work.multiprocessors * kFilledWarps;
  return choice;
}

std::vector<MmaChoice> mma_candidates(const Workload& work, const BundledSteps& convs) {
  if (work.pooled) return pooled_mma_candidates(work);
  std::vector<MmaChoice> all;
  for (int slices = 1; slices <= std::min(kMaxWarps, std::max(1, convs.most_steps)); slices *= 2) {
    for (int warps = kMaxWarps; warps >= slices; warps /= 2) {
      for (int tiles : {2, 1}) {
        MmaChoice choice;
        choice.tiles = tiles;
        choice.slices = slices;
        choice.warps = warps;
        all.push_back(choice);
      }
    }
  }
  return all;
}

std::vector<FireChoice> fire_mma_candidates(const Workload& work, const PackedBundles& squeeze,
                                            const PackedBundles& expands, int value_bytes) {
  std::vector<FireChoice> all;
  for (int splits : several_splits(static_cast<int>(expands.bundles.size()))) {
    std::vector<FireChoice> of_splits;
    each_fire_tiling(work, squeeze, expands, value_bytes, [&](const Tiling& tiling) {
      FireChoice choice;
      choice.tiling = tiling;
      choice.splits = splits;
      choice.steps_whole = steps_of_fire_mma(work, squeeze, expands, tiling, splits);
      of_splits.push_back(choice);
    });
    sort_by_cost(&of_splits);
    of_splits.resize(std::min(of_splits.size(), kTilingsOfSplits));
    all.insert(all.end(), of_splits.begin(), of_splits.end());
  }
  sort_by_cost(&all);
  return all;
}

}  // namespace squish::cuda
