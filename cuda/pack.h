// Weights in the order the kernels read them. Packed once a session, for every image size.
#pragma once

#include <cstddef>
#include <vector>

#include "cuda/device_memory.h"
#include "cuda/tasks.h"
#include "plan/clusters.h"

namespace squish::cuda {

// Convolutions side by side that read one input: a layer's, a squeeze, a Fire's expands. Blocks of 16 output channels
// begin anew with each convolution, so that a cluster of the file is always one tap.
struct PackedConvs {
  std::vector<OutputBlock> blocks;
  std::vector<Column> columns;  // of all blocks: where their taps point
  std::vector<float> weights;   // [columns][16]
  std::vector<float> bias;      // [blocks][16]
  bool relu = false;

  int64_t taps() const { return static_cast<int64_t>(columns.size()); }
};

PackedConvs pack(const std::vector<const ConvDescription*>& convs);

// For activations of these planes.
std::vector<Tap> taps_of(const PackedConvs& convs, int64_t plane_values, int64_t row_values);

// The same on the device, but for the taps, which depend on the image size.
class DeviceConvs {
 public:
  DeviceConvs(const PackedConvs& convs, Parcel& parcel);
  Clusters<float> clusters(const DeviceMemory& weights, const Tap* taps) const;

 private:
  size_t blocks_at_, weights_at_, bias_at_;
  int block_count_;
  float floor_;
};

}  // namespace squish::cuda
