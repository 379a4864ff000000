// A blueprint bound to memory: the launches of one run, in order.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cuda/blueprint.h"
#include "cuda/runtime.h"
#include "normalisation.h"

namespace squish::cuda {

using Launch = std::function<void(Stream)>;

// Weights of the whole net on the device.
class DeviceWeights {
 public:
  DeviceWeights(Runtime& runtime, const Packs& packs);
  Clusters<float> clusters(const ConvDescription* first, const Tap* taps) const {
    return convs_.at(first).clusters(memory_, taps);
  }

 private:
  std::map<const ConvDescription*, DeviceConvs> convs_;
  DeviceMemory memory_;
};

// Where the taps of a blueprint's convolutions point, on the device.
class DeviceTaps {
 public:
  DeviceTaps(Runtime& runtime, const Blueprint& blueprint, const Packs& packs);
  const Tap* squeeze(size_t op) const { return at(op, 0); }
  const Tap* convs(size_t op) const { return at(op, 1); }

 private:
  const Tap* at(size_t op, size_t which) const {
    return reinterpret_cast<const Tap*>(memory_.data() + offsets_[2 * op + which]);
  }
  std::vector<size_t> offsets_;  // bytes; two an op
  DeviceMemory memory_;
};

// The parts of the arena: a flag for input that is not finite, the caller's images, activations.
struct Arena {
  Arena(const Blueprint& blueprint, uint8_t* base);

  int* not_finite;
  uint8_t* images;
  float* activations;
  const float* output;

  static size_t bytes(const Blueprint& blueprint);
};

// The launches for a batch that begins in arena.images: one for the input, then one an op. `runtime`, weights, taps and
// the arena's memory must outlive them.
std::vector<Launch> make_program(Runtime& runtime, const Blueprint& blueprint, PixelFormat format,
                                 const Arena& arena, const DeviceWeights& weights, const DeviceTaps& taps,
                                 const Normalisation& norm);

}  // namespace squish::cuda
