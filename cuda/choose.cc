#include "cuda/choose.h"

#include <algorithm>

#include "cuda/kernel_table.h"

namespace squish::cuda {
namespace {

constexpr int64_t kSharedBytes = 48 << 10;  // of a block, without asking for more
constexpr int64_t kReservedBytes = 256;     // alignment, and what a device keeps for itself
constexpr int64_t kBlocksAtOnce = 4;        // a multiprocessor hides latency with: 16 warps
// Shared memory of a multiprocessor, of those without the tensor cores that others use: TX1, TX2, Turing.
constexpr int64_t kMultiprocessorBytes = 64 << 10;
constexpr int64_t kLaunchSteps = 64;  // that one more launch in a graph costs

// That a whole Fire's block of threads takes of a multiprocessor's shared memory.
int64_t fire_bytes(const Tiling& tiling, bool pooled, int64_t squeezed_pixel_bytes) {
  return squeezed_bytes(squeezed_pixel_bytes, tiling, pooled) + kStageBytes + kReservedBytes +
         (pooled ? kPooledPixelsBytes : 0);
}

bool fits(const Tiling& tiling, bool pooled, int64_t squeezed_pixel_bytes, int most_pixels) {
  const int height = conv_extent(tiling.height, pooled), width = conv_extent(tiling.width, pooled);
  if (height * width > most_pixels) return false;
  if (squeezed_pixel_bytes == 0) return true;
  return (height + 2) * (width + 2) <= kMaxHaloPixels &&
         fire_bytes(tiling, pooled, squeezed_pixel_bytes) <= kSharedBytes;
}

int64_t steps_of_launch(int64_t blocks, int64_t steps, const Workload& work,
                        int64_t at_once = kBlocksAtOnce) {
  return divide_up(blocks, work.multiprocessors * at_once) * steps;
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

std::optional<Tiling> choose_tiling(int height, int width, bool pooled, int64_t squeezed_pixel_bytes,
                                    int most_pixels) {
  std::optional<Tiling> best;
  const auto tiles = [](const Tiling& t) { return int64_t{t.rows} * t.columns; };
  const auto edge = [](const Tiling& t) { return t.height + t.width; };  // what its halo grows with
  for (int h = 1; h <= std::min(height, most_pixels); ++h) {
    for (int w = 1; w <= std::min(width, most_pixels); ++w) {
      Tiling tiling{h, w, divide_up(height, h), divide_up(width, w)};
      // As large as it must be for so many.
      tiling.height = divide_up(height, tiling.rows);
      tiling.width = divide_up(width, tiling.columns);
      if (!fits(tiling, pooled, squeezed_pixel_bytes, most_pixels)) break;
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

namespace {

int64_t steps_of_fire(const Workload& work, int64_t squeezed_pixel_bytes, const PackedConvs& squeeze,
                      const PackedConvs& expands, const Tiling& tiling, int splits) {
  const auto expand_blocks = static_cast<int>(expands.blocks.size());
  const int64_t steps_per_block = divide_up(expands.taps(), expand_blocks);
  const int64_t squeeze_steps = kMaxHaloPixels / kThreads * squeeze.taps();
  const int64_t at_once =
      std::min(kBlocksAtOnce, kMultiprocessorBytes / fire_bytes(tiling, work.pooled, squeezed_pixel_bytes));
  const int64_t blocks = int64_t{tiling.rows} * tiling.columns * splits * work.images;
  return steps_of_launch(blocks, squeeze_steps + divide_up(expand_blocks, splits) * steps_per_block, work,
                         at_once);
}

}  // namespace

FireChoice choose_fire(const Workload& work, int64_t squeezed_pixel_bytes, const PackedConvs& squeeze,
                       const PackedConvs& expands) {
  FireChoice choice;
  choice.steps_apart =
      steps_of_convs(squeeze, work, false) + kLaunchSteps + steps_of_convs(expands, work, work.pooled);
  const auto tiling = choose_tiling(work.out_height, work.out_width, work.pooled, squeezed_pixel_bytes);
  if (!tiling) return choice;
  choice.tiling = *tiling;
  for (int splits = 1; splits <= static_cast<int>(expands.blocks.size()); ++splits) {
    const int64_t steps = steps_of_fire(work, squeezed_pixel_bytes, squeeze, expands, *tiling, splits);
    if (splits > 1 && steps >= choice.steps_whole) continue;
    choice.splits = splits;
    choice.steps_whole = steps;
  }
  choice.whole = choice.steps_whole < choice.steps_apart;
  return choice;
}

namespace {

// Of tiles: as large as they may be, then less and less.
constexpr int kTileSizes[] = {kMaxTilePixels, kMaxTilePixels * 3 / 4, kMaxTilePixels / 2, kMaxTilePixels / 4};

std::vector<Tiling> tilings_of(const Workload& work, int64_t squeezed_pixel_bytes) {
  std::vector<Tiling> all;
  for (int pixels : kTileSizes) {
    const auto tiling =
        choose_tiling(work.out_height, work.out_width, work.pooled, squeezed_pixel_bytes, pixels);
    if (tiling && (all.empty() || !(*tiling == all.back()))) all.push_back(*tiling);
  }
  return all;
}

}  // namespace

std::vector<Tiling> pooled_tilings(const Workload& work) { return tilings_of(work, 0); }

std::vector<FireChoice> fire_candidates(const Workload& work, int64_t squeezed_pixel_bytes,
                                        const PackedConvs& squeeze, const PackedConvs& expands) {
  std::vector<FireChoice> all;
  for (const Tiling& tiling : tilings_of(work, squeezed_pixel_bytes)) {
    for (int splits : several_splits(static_cast<int>(expands.blocks.size()))) {
      FireChoice choice;
      choice.tiling = tiling;
      choice.splits = splits;
      choice.steps_whole = steps_of_fire(work, squeezed_pixel_bytes, squeeze, expands, tiling, splits);
      all.push_back(choice);
    }
  }
  sort_by_cost(&all);
  return all;
}

}  // namespace squish::cuda
