// The kernels as functions of the host: each chooses the variant and the grid that its task asks for and starts it on a
// stream. Made twice from the same source (kernels/launchers.h): by CUDA's compiler, and over the emulator for tests.
#pragma once

#include "cuda/tasks.h"

// CUDA's, or the emulator's; the host knows addresses of it alone.
struct __half;  // NOLINT(bugprone-reserved-identifier): the name is theirs

namespace squish {
namespace cuda {

using Stream = void*;  // a cudaStream_t

// How activations and weights lie in the device's memory. Arithmetic, biases and a Fire's squeeze in shared memory are
// float32 in both.
enum class StorageType : uint8_t { kF32, kF16 };

constexpr int64_t value_bytes(StorageType storage) { return storage == StorageType::kF16 ? 2 : 4; }

// T: float or __half.
template <typename T>
struct KernelTable {
  void (*conv)(const ConvTask<T>&, Stream);
  void (*conv_pooled)(const ConvTask<T>&, Stream);
  void (*conv_averaged)(const ConvTask<T>&, Stream);
  void (*fire)(const FireTask<T>&, Stream);
  void (*max_pool)(const PoolTask<T>&, Stream);
  void (*average)(const AverageTask<T>&, Stream);
  void (*add)(const AddTask<T>&, Stream);
  void (*read_pixels)(const PixelsTask<T>&, Stream);
  void (*read_floats)(const FloatsTask<T>&, Stream);
  void (*write_floats)(const ResultsTask<T>&, Stream);
};

// Of shared memory in a block of threads, beside a Fire's squeeze: the staged weights, and pixels to be pooled.
constexpr int kStageBytes = kChunkTaps * (kClusterChannels * 4 + int{sizeof(Tap)});
constexpr int kPooledPixelsBytes = kClusterChannels * kThreads * 4;

// A Fire's squeeze of one tile, in shared memory.
constexpr int64_t squeezed_bytes(int channels, const Tiling& tiling, bool pooled) {
  return int64_t{4} * channels * ((pooled ? 2 * tiling.height + 1 : tiling.height) + 2) *
         ((pooled ? 2 * tiling.width + 1 : tiling.width) + 2);
}

}  // namespace cuda
}  // namespace squish
