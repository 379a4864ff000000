// Weights in the order the kernels of integer arithmetic read them, as pack.h has it for floats.
#pragma once

#include <cstddef>
#include <vector>

#include "cuda/device_memory.h"
#include "cuda/integer_tasks.h"
#include "cuda/pack_bundles.h"
#include "plan/quad_clusters.h"

namespace squish::cuda {

// Convolutions side by side that read one input.
struct PackedIntegerConvs {
  std::vector<OutputBlock> blocks;
  std::vector<int> conv_blocks;     // of each convolution
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

// The same clusters for tensor cores.
struct PackedQuadBundles : BundledSteps {
  std::vector<QuadColumn> quads;  // [steps][4]
  std::vector<ByteQuad> weights;  // [steps][width][32 lanes][2 output channels]
};
PackedQuadBundles pack_quad_bundles(const PackedIntegerConvs& convs);
// width: 1 or 2, whatever pays.
PackedQuadBundles pack_quad_bundles(const PackedIntegerConvs& convs, int width);

// For activations of planes of so many quads, where these columns' taps point.
std::vector<Tap> taps_of(const std::vector<QuadColumn>& columns, int64_t plane_quads, int64_t row_quads);

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
class DeviceQuadBundles {
 public:
  DeviceQuadBundles(const PackedQuadBundles& bundles, Parcel& parcel);
  QuadBundles bundles(const DeviceMemory& memory, const Tap* taps) const;

 private:
  size_t bundles_at_, weights_at_;
  int bundle_count_, width_;
};

}  // namespace squish::cuda
