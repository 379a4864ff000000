// One step of a plan on one image, in integers: as steps.h, where buffers hold bytes or floats.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/integer_kernels.h"
#include "cpu/integer_pack.h"
#include "cpu/kernel_table.h"
#include "cpu/steps.h"
#include "cpu/view.h"
#include "normalisation.h"
#include "plan/plan.h"

namespace squish {

// A buffer of one image, of bytes or of floats.
struct MixedView {
  const Layout* layout;
  Quantisation quantisation;
  int activation_offset;  // the kernels'
  void* data;

  bool is_bytes() const { return quantisation.is_bytes(); }
  // An activation in its byte, and back.
  uint8_t byte_of(int activation) const { return static_cast<uint8_t>(activation - activation_offset); }
  int activation_of(uint8_t byte) const { return static_cast<uint8_t>(byte + activation_offset); }
  ByteView bytes() const { return {layout, static_cast<uint8_t*>(data)}; }
  MutableView floats() const { return {layout, static_cast<float*>(data)}; }
};

// A convolution op bound to one image size.
struct BoundIntegerConv {
  const PackedIntegerConv* packed = nullptr;
  std::vector<int32_t> offsets;
  Shape conv_output;  // before pooling
};

// The kernels of both arithmetics.
struct MixedKernels {
  const IntegerKernels& integers;
  RgbQuadKernel rgb_quads;  // or null
  const KernelTable& floats;
};

// Floats of scratch a thread needs for a convolution, for any other op.
int64_t scratch_floats(const Op& op, const BoundIntegerConv& conv);
int64_t scratch_floats(const Layout& out);

void run_conv(const MixedKernels& kernels, const Op& op, const BoundIntegerConv& conv, MixedView in,
              MixedView out, float* scratch, Share share);
void run_max_pool(const MixedKernels& kernels, const Op& op, MixedView in, MixedView out, Share share);
void run_average(const MixedKernels& kernels, MixedView in, MixedView out, Share share);
void run_add(const Op& op, MixedView a, MixedView b, MixedView out, float* scratch, Share share);

// How pixels become the net's input.
struct IntegerInput {
  Normalisation normalisation;
  std::vector<uint8_t>
      rgb_bytes;  // [3][256], what a RgbQuadTask looks up; empty where there is no such kernel
};
IntegerInput integer_input(const MixedKernels& kernels, Normalisation normalisation, const Quantisation& q);

// One image of the caller's into the net's input buffer. Returns whether all values of this share are finite.
bool run_input(const MixedKernels& kernels, const ImageBatch& batch, const uint8_t* image,
               const IntegerInput& input, MixedView out, Share share);
// The net's last buffer into the caller's output, [C][H][W].
void run_output(MixedView in, float* output);

}  // namespace squish
