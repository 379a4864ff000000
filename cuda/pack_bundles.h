// Weights in the order in which tensor cores take them. Packed once a session, for every image size.
#pragma once

#include <cstddef>
#include <vector>

#include "cuda/device_memory.h"
#include "cuda/kernel_table.h"
#include "plan/clusters.h"
#include "plan/layout.h"

namespace squish::cuda {

// What of them is the same whatever is multiplied.
struct BundledSteps {
  std::vector<Bundle> bundles;
  int width = 1;           // blocks that every bundle has weights for
  int most_steps = 0;      // of a bundle
  int64_t live_quads = 0;  // of all output blocks

  int64_t steps() const { return bundles.empty() ? 0 : bundles.back().first_step + bundles.back().steps; }
  // Behind the others: of so many steps for these blocks.
  void add(int bundle_steps, int first_block, int blocks);
};

// Two blocks read their quads together, unless they then multiply so many more than each by itself.
inline constexpr double kMostUnion = 1.3;

// Convolutions side by side that read one input.
struct PackedBundles : BundledSteps {
  std::vector<Column> quads;   // [steps][4]; `channel`: the first of the quad, as stored
  std::vector<float> weights;  // [steps][width][32 lanes][2 pairs of a quad][2 output channels][2]
  std::vector<float> bias;     // [blocks][16], and as many more as a bundle may reach beyond
  int blocks = 0;              // of output channels
  bool relu = false;
};

// `input`: how the channels of what they read lie; its size does not matter. A planar one is the net's input, whose quads are
// made of its channels in order.
PackedBundles pack_bundles(const std::vector<const ConvDescription*>& convs, const Layout& input);

// Offsets in quads. For activations in blocks of `channels` channels that lie so far apart.
struct BlockStrides {
  int channels;
  int64_t block, row;  // values
};
std::vector<Tap> taps_of(const PackedBundles& convs, const BlockStrides& strides);

// The same on the device, but for the taps.
class DeviceBundles {
 public:
  // Throws InvalidArgument on a weight that the type does not hold.
  DeviceBundles(const PackedBundles& convs, StorageType storage, Parcel& parcel);

  // T: of the storage that was asked for.
  template <typename T>
  Bundles<T> bundles(const DeviceMemory& memory, const Tap* taps) const {
    const uint8_t* const base = memory.data();
    return {reinterpret_cast<const Bundle*>(base + bundles_at_),
            taps,
            reinterpret_cast<const T*>(base + weights_at_),
            reinterpret_cast<const float*>(base + bias_at_),
            floor_,
            bundle_count_,
            width_};
  }

 private:
  size_t bundles_at_, weights_at_, bias_at_;
  int bundle_count_, width_;
  float floor_;
};

}  // namespace squish::cuda
