// The steps of a run in integer arithmetic, as program.cc has those in floats.
#pragma once

#include "cuda/program.h"

namespace squish::cuda {

// What a run is made of. Must outlive the launcher.
struct IntegerRun {
  const Runtime& runtime;
  const Blueprint& blueprint;
  const Arena& arena;
  const DeviceWeights& weights;
  const DeviceTaps& taps;
  const Normalisation& norm;
  const Ends& ends;
};

// Puts the step on the stream: 0 reads the input, then one an op; then the results are written, if no op does.
void launch_integer_step(const IntegerRun& run, size_t step, Stream stream);

}  // namespace squish::cuda
