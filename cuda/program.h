// A blueprint bound to memory: the launches of one run, in order.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/blueprint.h"
#include "cuda/runtime.h"
#include "normalisation.h"

namespace squish::cuda {

// Weights of the whole net on the device.
class DeviceWeights {
 public:
  DeviceWeights(Runtime& runtime, const Packs& packs, StorageType storage);
  size_t bytes() const { return memory_.bytes(); }
  // T: of the storage that was asked for.
  template <typename T>
  Clusters<T> clusters(const ConvDescription* first, const Tap* taps) const {
    return convs_.at(first).clusters<T>(memory_, taps);
  }
  template <typename T>
  Bundles<T> bundles(const ConvDescription* first, const Tap* taps) const {
    return bundles_.at(first).bundles<T>(memory_, taps);
  }
  // Of integer arithmetic.
  void fill(const ConvDescription* first, const Tap* taps, IntegerConvTask& task) const {
    integers_.at(first).fill(memory_, taps, task);
  }
  QuadBundles quad_bundles(const ConvDescription* first, const Tap* taps) const {
    return quad_bundles_.at(first).bundles(memory_, taps);
  }

 private:
  std::map<const ConvDescription*, DeviceBundles> bundles_;
  std::map<const ConvDescription*, DeviceConvs> convs_;
  std::map<const ConvDescription*, DeviceIntegerConvs> integers_;
  std::map<const ConvDescription*, DeviceQuadBundles> quad_bundles_;
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

// The parts of the arena: a flag for input that is not finite, images that were uploaded, for tensor cores the input in
// quads, activations, and results to be downloaded, which are the last activation where that lies as the caller's.
struct Arena {
  Arena(const Blueprint& blueprint, uint8_t* base);

  int* not_finite;
  uint8_t* images;
  uint8_t* quads;
  uint8_t* activations;
  float* output;

  static size_t bytes(const Blueprint& blueprint);
};

// Memory of the device that a run reads and writes beside the arena's activations: the caller's, or where the caller's
// is copied to and from.
struct Ends {
  PixelFormat format;
  const void* images;
  float* output;
  int* not_finite;  // becomes 1 where a value of kF32Nchw is NaN or infinite

  bool operator==(const Ends& o) const {
    return format == o.format && images == o.images && output == o.output && not_finite == o.not_finite;
  }
};

// The steps of a run: step 0 reads the input, then one an op; the last one writes the results, where they are not stored
// as floats. What it is made of must outlive it.
class Program {
 public:
  Program(const Runtime& runtime, const Blueprint& blueprint, const Arena& arena,
          const DeviceWeights& weights, const DeviceTaps& taps, const Normalisation& norm)
      : runtime_(runtime),
        blueprint_(blueprint),
        arena_(arena),
        weights_(weights),
        taps_(taps),
        norm_(norm) {}

  size_t steps() const { return blueprint_.ops.size() + (blueprint_.writes_results() ? 2 : 1); }
  // Whether the step looks at the run's ends. The others are the same in every run.
  bool touches_ends(size_t step) const;
  // Allocates nothing.
  void launch(size_t step, const Ends& ends, Stream stream) const;

 private:
  template <typename T>
  friend class StepLauncher;

  const Runtime& runtime_;
  const Blueprint& blueprint_;
  Arena arena_;
  const DeviceWeights& weights_;
  const DeviceTaps& taps_;
  const Normalisation& norm_;
};

}  // namespace squish::cuda
