// The inner loop of every convolution: the clusters that live, one after the other.
#pragma once

#include "cuda/kernels/common.cuh"

namespace squish {
namespace cuda {

// Left to itself ptxas aims at more blocks at once than 16 accumulators a thread leave registers for, and spills.
constexpr int kBlocksAtOnce = 5;

// Shared memory through which a chunk of weights comes to all threads.
struct Stage {
  float4* weights;  // [kChunkTaps][4]
  Tap* taps;        // [kChunkTaps]
};
#define SQUISH_STAGE(name)                                                  \
  SQUISH_SHARED(float4, name##_weights, kChunkTaps*(kClusterChannels / 4)); \
  SQUISH_SHARED(Tap, name##_taps, kChunkTaps);                              \
  const Stage name = {name##_weights, name##_taps}

template <typename T, int kPixels>
__device__ inline void begin_with_bias(const Clusters<T>& clusters, int block,
                                       float (&sums)[kPixels][kClusterChannels]) {
  SQUISH_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    SQUISH_UNROLL
    for (int c = 0; c < kClusterChannels; ++c) sums[p][c] = clusters.bias[block * kClusterChannels + c];
  }
}

__device__ inline void multiply_add(const float4& weights, float value, float* sums) {
  sums[0] += weights.x * value;
  sums[1] += weights.y * value;
  sums[2] += weights.z * value;
  sums[3] += weights.w * value;
}

// Adds weight x activation of every cluster of the block, for the pixels that this thread owns. load(p, tap) is the
// activation of pixel p. A cluster costs one load a pixel; its weights are read from shared memory, the same address in
// all threads, once for all pixels of a thread. Called by all threads of the block together.
template <typename T, int kPixels, typename Load>
__device__ inline void add_clusters(const Clusters<T>& clusters, const OutputBlock& block, const Stage& stage,
                                    const Load& load, float (&sums)[kPixels][kClusterChannels]) {
  constexpr int kQuads = kClusterChannels / 4;
  for (int begin = 0; begin < block.taps; begin += kChunkTaps) {
    const int left = block.taps - begin, count = left < kChunkTaps ? left : kChunkTaps;
    const T* const weights = clusters.weights + (block.first_tap + begin) * kClusterChannels;
    __syncthreads();  // nobody reads the chunk before any more
    for (int i = thread_index(); i < count * kQuads; i += kThreads)
      stage.weights[i] = load_4(weights + 4 * i);
    for (int i = thread_index(); i < count; i += kThreads)
      stage.taps[i] = clusters.taps[block.first_tap + begin + i];
    __syncthreads();
    for (int k = 0; k < count; ++k) {
      const Tap tap = stage.taps[k];
      float values[kPixels];
      SQUISH_UNROLL
      for (int p = 0; p < kPixels; ++p) values[p] = load(p, tap);
      SQUISH_UNROLL
      for (int quad = 0; quad < kQuads; ++quad) {
        const float4 four = stage.weights[k * kQuads + quad];
        SQUISH_UNROLL
        for (int p = 0; p < kPixels; ++p) multiply_add(four, values[p], sums[p] + 4 * quad);
      }
    }
  }
}

}  // namespace cuda
}  // namespace squish
