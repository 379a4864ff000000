// Which kernel, in which tiles: decided for each image size and batch size from a model of the work. Called by the
// backend when it plans. For tensor cores: choose_mma.h.
//
// THE MODEL. A step is one cluster for the pixel of a thread: 16 multiply-adds, a load, and the weights from shared
// memory. A launch takes as many steps as its longest block of threads, times the rounds in which the device's
// multiprocessors, a few blocks each at a time, get through the grid. It knows nothing of caches, and was not measured
// on the devices that it is for. `explain()` prints what it said.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cuda/pack.h"
#include "cuda/tasks.h"
#include "cuda/workload.h"

namespace squish::cuda {

// Tiles of an output of this size, as few as there can be, of threads that own a pixel each; with a Fire's squeeze
// in shared memory, all channels of a pixel so many bytes (0: none, and always a tiling). Nothing where not even
// one pixel's fits.
std::optional<Tiling> choose_tiling(int height, int width, bool pooled, int64_t squeezed_pixel_bytes,
                                    int most_pixels = kMaxTilePixels);

// Pixels that a thread of a convolution owns: two share each weight they read, if enough blocks of threads remain.
int choose_pixels(const Workload& work, int block_count);

FireChoice choose_fire(const Workload& work, int64_t squeezed_pixel_bytes, const PackedConvs& squeeze,
                       const PackedConvs& expands);

// What else there is, for who can measure it (tune.h).
// Tiles of several sizes of a pooled output.
std::vector<Tiling> pooled_tilings(const Workload& work);
// Whole Fires: tiles of several sizes by several splits. None where not even one pixel's squeeze fits.
std::vector<FireChoice> fire_candidates(const Workload& work, int64_t squeezed_pixel_bytes,
                                        const PackedConvs& squeeze, const PackedConvs& expands);

}  // namespace squish::cuda
