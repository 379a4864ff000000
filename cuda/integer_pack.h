// Weights in the order the kernels of integer arithmetic read them, as pack.h has it for floats.
#pragma once

#include <cstddef>
#include <vector>

#include "cuda/device_memory.h"
#include "cuda/integer_tasks.h"
#include "plan/quad_clusters.h"

namespace squish::cuda {

// Convolutions side by side that read one input.
struct PackedIntegerConvs {
  std::vector<OutputBlock> blocks;
  std::vector<QuadColumn> columns;  // of all blocks: where their taps point
  std::vector<ByteQuad> weights;    // [columns][16]
  ResultConstants constants;
  Quantisation input, output;  // of no bytes: results are floats
  bool relu = false;
  int64_t all_clusters = 0;  // 16x4, living or not

  int64_t taps() const { return static_cast<int64_t>(columns.size()); }
};

// `input`: how the channels of what they read lie, in quads.
PackedIntegerConvs pack_integers(const std::vector<const ConvDescription*>& convs, const Layout& input,
                                 const Quantisation& output);

// For activations of planes of so many quads.
std::vector<Tap> taps_of(const PackedIntegerConvs& convs, int64_t plane_quads, int64_t row_quads);

// The same on the device, but for the taps, which depend on the image size.
class DeviceIntegerConvs {
 public:
  DeviceIntegerConvs(const PackedIntegerConvs& convs, Parcel& parcel);

  // What a task has of them.
  void fill(const DeviceMemory& memory, const Tap* taps, IntegerConvTask& task) const;

 private:
  size_t blocks_at_, weights_at_, start_at_, factor_at_, term_at_;
  int block_count_, padding_, low_;
  float floor_;
};

}  // namespace squish::cuda
