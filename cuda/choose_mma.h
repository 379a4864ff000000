// Which kernel for tensor cores, in which tiles: choose.h's model, whose step is here four quads by a warp's pixels and
// channels. Its constants were chosen on an H200, with floats.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/pack_bundles.h"
#include "cuda/tasks.h"
#include "cuda/workload.h"

namespace squish::cuda {

// How warps share a convolution on tensor cores.
struct MmaChoice {
  int tiles = 1;    // of 16 pixels, that a warp computes
  int slices = 1;   // warps that share a sum
  int warps = 1;    // of a block of threads
  Tiling tiling{};  // where it is pooled

  bool operator==(const MmaChoice& o) const {
    return tiles == o.tiles && slices == o.slices && warps == o.warps && tiling == o.tiling;
  }
};
MmaChoice choose_mma(const Workload& work, const BundledSteps& convs);
// value_bytes: of what is stored.
FireChoice choose_fire_mma(const Workload& work, const PackedBundles& squeeze, const PackedBundles& expands,
                           int value_bytes);

// What else there is, for who can measure it (tune.h). Of whole Fires: for several splits the tiles that cost least in the
// model; none where not even one pixel's squeeze fits.
std::vector<MmaChoice> mma_candidates(const Workload& work, const BundledSteps& convs);
std::vector<FireChoice> fire_mma_candidates(const Workload& work, const PackedBundles& squeeze,
                                            const PackedBundles& expands, int value_bytes);

}  // namespace squish::cuda
