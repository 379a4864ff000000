// The inner loop of every convolution: the clusters that live, one after the other.
#pragma once

#include "cuda/kernels/common.cuh"

namespace squish {
namespace cuda {

// Left to itself ptxas aims at more blocks at once than 16 accumulators a thread leave registers for, and spills.
constexpr int kBlocksAtOnce = 5;

// The sums of a pixel's 16 output channels, by the type of what is multiplied.
template <typename T>
struct Sums;

template <>
struct Sums<float> {
  using Activation = float;
  using Weights = float4;  // 16 bytes, read at once
  static constexpr int kCarryTaps = kChunkTaps;

  float totals[kClusterChannels];

  __device__ void begin(const float* bias) {
    SQUISH_UNROLL
    for (int c = 0; c < kClusterChannels; ++c) totals[c] = bias[c];
  }
  __device__ void multiply_add(int vector, const Weights& weights, Activation value) {
    float* const sums = totals + 4 * vector;
    sums[0] += weights.x * value;
    sums[1] += weights.y * value;
    sums[2] += weights.z * value;
    sums[3] += weights.w * value;
  }
  __device__ void carry() {}
};

// Two channels an instruction: twice as many as in float32 on the devices without tensor cores that these kernels are for,
// but for those of 6.1. A half has 11 bits, so no more than kHalfTaps products are added up in it, and their sums in float32.
template <>
struct Sums<__half> {
  using Activation = __half2;  // one value twice
  struct alignas(16) Weights {
    __half2 pairs[4];
  };
  static constexpr int kCarryTaps = kHalfTaps;

  float totals[kClusterChannels];
  __half2 recent[kClusterChannels / 2];

  __device__ void begin(const float* bias) {
    SQUISH_UNROLL
    for (int c = 0; c < kClusterChannels; ++c) totals[c] = bias[c];
    SQUISH_UNROLL
    for (int i = 0; i < kClusterChannels / 2; ++i) recent[i] = __float2half2_rn(0);
  }
  __device__ void multiply_add(int vector, const Weights& weights, Activation value) {
    __half2* const sums = recent + 4 * vector;
    SQUISH_UNROLL
    for (int i = 0; i < 4; ++i) sums[i] = __hfma2(weights.pairs[i], value, sums[i]);
  }
  __device__ void carry() {
    SQUISH_UNROLL
    for (int i = 0; i < kClusterChannels / 2; ++i) {
      totals[2 * i] += __low2float(recent[i]);
      totals[2 * i + 1] += __high2float(recent[i]);
      recent[i] = __float2half2_rn(0);
    }
  }
};

__device__ inline float activation(float value) { return value; }
__device__ inline __half2 activation(__half value) { return __half2half2(value); }

// Shared memory through which a chunk of weights comes to all threads.
template <typename T>
struct Stage {
  static constexpr int kVectors = kClusterChannels * static_cast<int>(sizeof(T)) / 16;  // of a tap
  typename Sums<T>::Weights* weights;  // [kChunkTaps][kVectors]
  Tap* taps;                           // [kChunkTaps]
};
#define SQUISH_STAGE(T, name)                                                               \
  SQUISH_SHARED(typename Sums<T>::Weights, name##_weights, kChunkTaps* Stage<T>::kVectors); \
  SQUISH_SHARED(Tap, name##_taps, kChunkTaps);                                              \
  const Stage<T> name = {name##_weights, name##_taps}

// Adds weight x activation of every cluster of the block to its bias, for the pixels that this thread owns. load(p, tap) is
// the activation of pixel p. A cluster costs one load a pixel; its weights are read from shared memory, the same address
// in all threads, once for all pixels of a thread. Called by all threads of the block together.
template <typename T, int kPixels, typename Load>
__device__ inline void sum_clusters(const Clusters<T>& clusters, int block_index, const Stage<T>& stage,
                                    const Load& load, Sums<T> (&sums)[kPixels]) {
  constexpr int kVectors = Stage<T>::kVectors, kCarryTaps = Sums<T>::kCarryTaps;
  const OutputBlock block = clusters.blocks[block_index];
  SQUISH_UNROLL
  for (int p = 0; p < kPixels; ++p) sums[p].begin(clusters.bias + block_index * kClusterChannels);
  const auto* const weights = reinterpret_cast<const typename Sums<T>::Weights*>(
      clusters.weights + block.first_tap * kClusterChannels);
  for (int begin = 0; begin < block.taps; begin += kChunkTaps) {
    const int left = block.taps - begin, count = left < kChunkTaps ? left : kChunkTaps;
    __syncthreads();  // nobody reads the chunk before any more
    for (int i = thread_index(); i < count * kVectors; i += kThreads)
      stage.weights[i] = weights[begin * kVectors + i];
    for (int i = thread_index(); i < count; i += kThreads)
      stage.taps[i] = clusters.taps[block.first_tap + begin + i];
    __syncthreads();
    for (int k = 0; k < count;) {
      const int end = k + kCarryTaps < count ? k + kCarryTaps : count;
      for (; k < end; ++k) {
        const Tap tap = stage.taps[k];
        typename Sums<T>::Activation values[kPixels];
        SQUISH_UNROLL
        for (int p = 0; p < kPixels; ++p) values[p] = load(p, tap);
        SQUISH_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          const typename Sums<T>::Weights vector = stage.weights[k * kVectors + v];
          SQUISH_UNROLL
          for (int p = 0; p < kPixels; ++p) sums[p].multiply_add(v, vector, values[p]);
        }
      }
      SQUISH_UNROLL
      for (int p = 0; p < kPixels; ++p) sums[p].carry();
    }
  }
}

}  // namespace cuda
}  // namespace squish
