// What several kernels share.
#pragma once

#include "cuda/kernels/device.h"
#include "cuda/tasks.h"

namespace squish {
namespace cuda {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline void store(float* at, float value) { *at = value; }
__device__ inline void store(__half* at, float value) { *at = __float2half(value); }

// Unlike fmaxf it keeps NaN: a net that overflows must not look as if it were sure of something.
__device__ inline float at_least(float floor, float value) { return value < floor ? floor : value; }
__device__ inline float larger(float a, float b) { return b > a || b != b ? b : a; }

__device__ inline int thread_index() { return static_cast<int>(threadIdx.x); }

// Channels in blocks of `step`: between the first segment and the others lie some that nobody uses.
__device__ inline int unused_channels(const Segments& segments, int step) {
  return (step - segments.first % step) % step;
}
__device__ inline int stored_channel(const Segments& segments, int step, int channel) {
  return channel < segments.first ? channel : channel + unused_channels(segments, step);
}
// Or -1.
__device__ inline int used_channel(const Segments& segments, int step, int stored) {
  if (stored < segments.first) return stored;
  const int channel = stored - unused_channels(segments, step);
  return channel >= segments.first && channel < segments.channels ? channel : -1;
}

// The sum of every thread's value, in thread 0. `scratch`: a float for each warp.
__device__ inline float block_sum(float value, float* scratch) {
  const int lane = thread_index() % 32, warp = thread_index() / 32;
  SQUISH_UNROLL
  for (unsigned step = 16; step > 0; step /= 2) value += __shfl_down_sync(0xffffffffu, value, step);
  __syncthreads();  // scratch may still be read by a sum before
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  float sum = 0;
  if (thread_index() == 0) {
    for (int w = 0; w < kThreads / 32; ++w) sum += scratch[w];
  }
  return sum;
}

}  // namespace cuda
}  // namespace squish
