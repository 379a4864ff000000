// Which kernel, in which tiles: decided for each image size and batch size from a model of the work. Called by the
// backend when it plans.
//
// THE MODEL. A step is one cluster for the pixel of a thread: 16 multiply-adds, a load, and the weights from shared
// memory. A launch takes as many steps as its longest block of threads, times the rounds in which the device's
// multiprocessors, a few blocks each at a time, get through the grid. It knows nothing of caches. For tensor cores a step is
// four quads by a warp's pixels and channels, and its constants were chosen on an H200; without them they were not
// measured on the devices that they are for. `explain()` prints what it said.
#pragma once

#include <cstdint>
#include <optional>

#include "cuda/pack.h"
#include "cuda/pack_bundles.h"
#include "cuda/tasks.h"

namespace squish::cuda {

// Tiles of an output of this size, as few as there can be, of threads that own a pixel each; with a Fire's squeeze
// (0 channels: none, and always a tiling) in shared memory. Nothing where not even one pixel's fits.
std::optional<Tiling> choose_tiling(int height, int width, bool pooled, int squeeze_channels,
                                    int most_pixels = kMaxTilePixels);

// What is to be computed, and on what.
struct Workload {
  int height = 0, width = 0;          // of the convolution's output
  int out_height = 0, out_width = 0;  // of the op's: smaller where it is pooled
  bool pooled = false;
  int64_t images = 1;
  int multiprocessors = 1;
};

// Pixels that a thread of a convolution owns: two share each weight they read, if enough blocks of threads remain.
int choose_pixels(const Workload& work, int block_count);

struct FireChoice {
  bool whole = false;
  Tiling tiling{};  // where it is whole
  int splits = 1;
  int64_t steps_whole = 0, steps_apart = 0;
};
FireChoice choose_fire(const Workload& work, int squeeze_channels, const PackedConvs& squeeze,
                       const PackedConvs& expands);

// How warps share a convolution on tensor cores.
struct MmaChoice {
  int tiles = 1;    // of 16 pixels, that a warp computes
  int slices = 1;   // warps that share a sum
  int warps = 1;    // of a block of threads
  Tiling tiling{};  // where it is pooled
};
MmaChoice choose_mma(const Workload& work, const PackedBundles& convs);
// value_bytes: of what is stored.
FireChoice choose_fire_mma(const Workload& work, const PackedBundles& squeeze, const PackedBundles& expands,
                           int64_t value_bytes);

}  // namespace squish::cuda
