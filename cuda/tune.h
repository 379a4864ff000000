// Blueprints by measurement. What choose.h's model knows of a device is its number of multiprocessors; this asks the device
// itself: the ways of each op (candidates.h) are timed there, each Fire whole and apart, and at last the whole net as measured
// beside the net as modelled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "cuda/program.h"

namespace squish::cuda {

// What nets are measured with.
struct Bench {
  Runtime& runtime;
  const Graph& graph;
  const Packs& packs;
  const DeviceWeights& weights;
  const Normalisation& norm;
  // Memory of the device, of at least so many bytes, which are zeros and nobody else's until the next call. Throws DeviceError
  // where there is not enough, and can be called again.
  std::function<uint8_t*(size_t)> arena;
};

// The fastest blueprint that was found for the size and the batch of this one, which may be it: no slower, as far as the
// device's clock can tell. Takes up to some ten seconds of the device and what forty runs take, of small nets about one, with the
// device to itself at best. Plans for which there is no memory are left out. Throws DeviceError.
Blueprint tune(const Bench& bench, const Blueprint& modelled);

}  // namespace squish::cuda
