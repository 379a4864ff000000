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

// Rounded to half precision. Throws InvalidArgument on a weight that it does not hold.
std::vector<uint16_t> halves_of(const std::vector<float>& weights);

// The same on the device, but for the taps, which depend on the image size.
class DeviceConvs {
 public:
  // Throws InvalidArgument on a weight that the type does not hold.
  DeviceConvs(const PackedConvs& convs, StorageType storage, Parcel& parcel);

  // T: of the storage that was asked for.
  template <typename T>
  Clusters<T> clusters(const DeviceMemory& memory, const Tap* taps) const {
    const uint8_t* const base = memory.data();
    return {reinterpret_cast<const OutputBlock*>(base + blocks_at_),
            taps,
            reinterpret_cast<const T*>(base + weights_at_),
            reinterpret_cast<const float*>(base + bias_at_),
            floor_,
            block_count_};
  }

 private:
  size_t blocks_at_, weights_at_, bias_at_;
  int block_count_;
  float floor_;
};

}  // namespace squish::cuda
