#include "cuda/choose.h"

#include <algorithm>
#include <limits>

#include "cuda/kernel_table.h"

namespace squish::cuda {
namespace {

constexpr int64_t kSharedBytes = 48 << 10;  // of a block, without asking for more
constexpr int64_t kReservedBytes = 256;     // alignment, and what a device keeps for itself
constexpr int64_t kBlocksAtOnce = 4;        // a multiprocessor hides latency with: 16 warps
constexpr int64_t kLaunchSteps = 64;        // that one more launch in a graph costs
constexpr int64_t kBusyWarps = 8;           // that keep a multiprocessor's tensor cores busy
constexpr int kMinSlicedWarps = 4;
constexpr int kSliceSteps = 2;           // at least
constexpr int64_t kMmaBlocksAtOnce = 2;  // that registers of a multiprocessor suffice for
constexpr int64_t kMmaLaunchSteps = 16;  // that one more launch in a graph costs
constexpr int64_t kFilledWarps = 32;     // of a multiprocessor that has several rounds of them to do
constexpr int64_t kPoolSteps = 4;        // that keeping a tile's results and pooling them costs
constexpr int kMaxFireEdge = 32;         // of a Fire's tile, in pixels of the output
constexpr int kMinPooledPixels = 32;     // of a convolution's output

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int divide_up_int(int a, int b) { return (a + b - 1) / b; }

// Of the convolution's output under so many pixels of the op's.
int conv_extent(int extent, bool pooled) { return pooled ? 2 * extent + 1 : extent; }

bool fits(const Tiling& tiling, bool pooled, int squeeze_channels, int most_pixels) {
  const int height = conv_extent(tiling.height, pooled), width = conv_extent(tiling.width, pooled);
  if (height * width > most_pixels) return false;
  if (squeeze_channels == 0) return true;
  const int64_t bytes = squeezed_bytes(squeeze_channels, tiling, pooled) + kStageBytes + kReservedBytes +
                        (pooled ? kPooledPixelsBytes : 0);
  return (height + 2) * (width + 2) <= kMaxHaloPixels && bytes <= kSharedBytes;
}

int64_t steps_of_launch(int64_t blocks, int64_t steps, const Workload& work) {
  return divide_up(blocks, work.multiprocessors * kBlocksAtOnce) * steps;
}

int64_t steps_of_convs(const PackedConvs& convs, const Workload& work, bool pooled) {
  const auto count = static_cast<int64_t>(convs.blocks.size());
  int64_t runs = divide_up(int64_t{work.height} * work.width, kThreads);
  if (pooled) {
    const Tiling tiling = choose_tiling(work.out_height, work.out_width, true, 0).value_or(Tiling{});
    runs = int64_t{tiling.rows} * tiling.columns;
  }
  return steps_of_launch(runs * count * work.images, divide_up(convs.taps(), count), work);
}

}  // namespace

std::optional<Tiling> choose_tiling(int height, int width, bool pooled, int squeeze_channels,
                                    int most_pixels) {
  std::optional<Tiling> best;
  const auto tiles = [](const Tiling& t) { return int64_t{t.rows} * t.columns; };
  const auto edge = [](const Tiling& t) { return t.height + t.width; };  // what its halo grows with
  for (int h = 1; h <= std::min(height, most_pixels); ++h) {
    for (int w = 1; w <= std::min(width, most_pixels); ++w) {
      Tiling tiling{h, w, divide_up_int(height, h), divide_up_int(width, w)};
      // As large as it must be for so many.
      tiling.height = divide_up_int(height, tiling.rows);
      tiling.width = divide_up_int(width, tiling.columns);
      if (!fits(tiling, pooled, squeeze_channels, most_pixels)) break;
      const bool better = !best || tiles(tiling) < tiles(*best) ||
                          (tiles(tiling) == tiles(*best) && edge(tiling) < edge(*best));
      if (better) best = tiling;
    }
  }
  return best;
}

int choose_pixels(const Workload& work, int block_count) {
  const int64_t blocks =
      divide_up(int64_t{work.height} * work.width, int64_t{2} * kThreads) * block_count * work.images;
  return blocks >= work.multiprocessors * kBlocksAtOnce ? 2 : 1;
}

FireChoice choose_fire(const Workload& work, int squeeze_channels, const PackedConvs& squeeze,
                       const PackedConvs& expands) {
  FireChoice choice;
  choice.steps_apart =
      steps_of_convs(squeeze, work, false) + kLaunchSteps + steps_of_convs(expands, work, work.pooled);
  const auto tiling = choose_tiling(work.out_height, work.out_width, work.pooled, squeeze_channels);
  if (!tiling) return choice;
  choice.tiling = *tiling;
  const auto expand_blocks = static_cast<int>(expands.blocks.size());
  const int64_t steps_per_block = divide_up(expands.taps(), expand_blocks);
  const int64_t squeeze_steps = kMaxHaloPixels / kThreads * squeeze.taps();
  for (int splits = 1; splits <= expand_blocks; ++splits) {
    const int64_t blocks = int64_t{tiling->rows} * tiling->columns * splits * work.images;
    const int64_t steps =
        steps_of_launch(blocks, squeeze_steps + divide_up(expand_blocks, splits) * steps_per_block, work);
    if (splits > 1 && steps >= choice.steps_whole) continue;
    choice.splits = splits;
    choice.steps_whole = steps;
  }
  choice.whole = choice.steps_whole < choice.steps_apart;
  return choice;
}

namespace {

// Steps that a warp takes one after the other, on average.
int64_t steps_each(const PackedBundles& convs) {
  return divide_up(convs.steps(), std::max<int64_t>(1, static_cast<int64_t>(convs.bundles.size())));
}

// A step of one tile of pixels and of two take about as 2 and 3.
int64_t step_cost(int tiles) { return tiles + 1; }

// Rounds of warps, by the steps of each.
int64_t cost_of_pooled(const Workload& work, const PackedBundles& convs, const MmaChoice& choice) {
  const int pixels = conv_extent(choice.tiling.height, true) * conv_extent(choice.tiling.width, true);
  const int64_t blocks = int64_t{choice.tiling.rows} * choice.tiling.columns *
                         static_cast<int64_t>(convs.bundles.size()) * work.images;
  const int64_t rounds =
      divide_up(blocks * choice.warps, int64_t{work.multiprocessors} * kMmaBlocksAtOnce * kMaxWarps);
  return rounds * divide_up_int(divide_up_int(pixels, choice.tiles * kTilePixels), choice.warps) *
         (steps_each(convs) * step_cost(choice.tiles) + kPoolSteps);
}

MmaChoice choose_mma_pooled(const Workload& work, const PackedBundles& convs) {
  MmaChoice best;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (int pixels = kMaxPooledPixels; pixels >= kMinPooledPixels; pixels -= kTilePixels) {
    const auto tiling = choose_tiling(work.out_height, work.out_width, true, 0, pixels);
    if (!tiling) break;
    for (int tiles : {2, 1}) {
      MmaChoice choice;
      choice.tiling = *tiling;
      choice.tiles = tiles;
      choice.warps = std::min(
          kMaxWarps, divide_up_int(conv_extent(tiling->height, true) * conv_extent(tiling->width, true),
                                   tiles * kTilePixels));
      const int64_t cost = cost_of_pooled(work, convs, choice);
      if (cost >= least) continue;
      least = cost;
      best = choice;
    }
  }
  return best;
}

}  // namespace

MmaChoice choose_mma(const Workload& work, const PackedBundles& convs) {
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

}  // namespace

FireChoice choose_fire_mma(const Workload& work, const PackedBundles& squeeze, const PackedBundles& expands,
                           int64_t value_bytes) {
  FireChoice choice;
  Workload apart = work;
  apart.pooled = false;
  choice.steps_apart = steps_of_conv_mma(squeeze, apart) + kMmaLaunchSteps + steps_of_conv_mma(expands, work);
  choice.steps_whole = std::numeric_limits<int64_t>::max();
  constexpr int64_t kPixels = int64_t{2} * kTilePixels;  // of a warp
  const auto squeeze_bundles = static_cast<int64_t>(squeeze.bundles.size()),
             expand_bundles = static_cast<int64_t>(expands.bundles.size());
  for (int h = 1; h <= std::min(work.out_height, kMaxFireEdge); ++h) {
    for (int w = 1; w <= std::min(work.out_width, kMaxFireEdge); ++w) {
      Tiling tiling{h, w, divide_up_int(work.out_height, h), divide_up_int(work.out_width, w)};
      tiling.height = divide_up_int(work.out_height, tiling.rows);
      tiling.width = divide_up_int(work.out_width, tiling.columns);
      if (tiling.height != h || tiling.width != w) continue;  // as large as it must be for so many
      if (mma_fire_values(squeeze.blocks, tiling, work.pooled, expands.width) * value_bytes > kMmaSharedBytes)
        break;
      const int64_t height = conv_extent(h, work.pooled), width = conv_extent(w, work.pooled);
      const int64_t squeeze_steps =
          divide_up(divide_up((height + 2) * (width + 2), kPixels) * squeeze_bundles, kMaxWarps) *
          steps_each(squeeze);
      const int64_t groups = divide_up(height * width, kPixels);
      for (int64_t splits = 1; splits <= expand_bundles; ++splits) {
        const int64_t own = divide_up(expand_bundles, splits);
        const int64_t turns =
            work.pooled ? own * divide_up(groups, kMaxWarps) : divide_up(groups * own, kMaxWarps);
        const int64_t blocks = int64_t{tiling.rows} * tiling.columns * splits * work.images;
        const int64_t steps =
            mma_rounds(blocks, work) * (squeeze_steps * kGlobalSteps + turns * steps_each(expands));
        if (steps >= choice.steps_whole) continue;
        choice.steps_whole = steps;
        choice.tiling = tiling;
        choice.splits = static_cast<int>(splits);
      }
    }
  }
  // With fewer a device is not filled, and what counts is how soon each block of threads is done. Stored as floats, three products
  // a weight leave the loads that shared memory saves without weight. Both were measured, on an H200.
  const int64_t expand_warps =
      divide_up(int64_t{work.height} * work.width * work.images, kPixels) * expand_bundles;
  choice.whole = choice.steps_whole < choice.steps_apart && value_bytes == 2 &&
                 expand_warps >= work.multiprocessors * kFilledWarps;
  return choice;
}

}  // namespace squish::cuda
