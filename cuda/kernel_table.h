// The kernels as functions of the host: each chooses the variant and the grid that its task asks for and starts it on a
// stream. Made twice from the same source (kernels/launchers.h): by CUDA's compiler, and over the emulator for tests.
#pragma once

#include "cuda/integer_tasks.h"
#include "cuda/tasks.h"

// CUDA's, or the emulator's; the host knows addresses of it alone.
struct __half;  // NOLINT(bugprone-reserved-identifier): the name is theirs

namespace squish {
namespace cuda {

using Stream = void*;  // a cudaStream_t

// How activations and weights lie in the device's memory. Arithmetic, biases and a Fire's squeeze in shared memory are
// float32 in the first two; kI8: integer_tasks.h.
enum class StorageType : uint8_t { kF32, kF16, kI8 };

// Of what the planner counts as a float, which is a quad where it is held in bytes.
constexpr int value_bytes(StorageType storage) { return storage == StorageType::kF16 ? 2 : 4; }

// T: float or __half.
template <typename T>
struct KernelTable {
  void (*conv)(const ConvTask<T>&, Stream);
  void (*conv_pooled)(const ConvTask<T>&, Stream);
  void (*fire)(const FireTask<T>&, Stream);
  void (*max_pool)(const PoolTask<T>&, Stream);
  void (*average)(const AverageTask<T>&, Stream);
  void (*add)(const AddTask<T>&, Stream);
  void (*read_pixels)(const PixelsTask<T>&, Stream);
  void (*read_floats)(const FloatsTask<T>&, Stream);
  void (*write_floats)(const ResultsTask<T>&, Stream);
  // For tensor cores.
  void (*read_quads)(const QuadsTask<T>&, Stream);
  void (*conv_mma)(const MmaConvTask<T>&, Stream);
  void (*conv_mma_pooled)(const MmaConvTask<T>&, Stream);
  void (*fire_mma)(const MmaFireTask<T>&, Stream);
};

// Of integer arithmetic. Results that no kernel of these writes are left to write_floats, as a net's output is in floats.
struct IntegerKernelTable {
  void (*conv)(const IntegerConvTask&, Stream);
  void (*conv_pooled)(const IntegerConvTask&, Stream);
  void (*conv_mma)(const IntegerMmaTask&, Stream);
  void (*conv_mma_pooled)(const IntegerMmaTask&, Stream);
  void (*max_pool)(const IntegerPoolTask&, Stream);
  void (*average)(const IntegerAverageTask&, Stream);
  void (*add)(const IntegerAddTask&, Stream);
  void (*read_input)(const IntegerInputTask&, Stream);
};

// Of shared memory in a block of threads, beside a Fire's squeeze: the staged weights, at most, and pixels to be pooled.
constexpr int kStageBytes = kChunkTaps * (kClusterChannels * 4 + int{sizeof(Tap)});
constexpr int kPooledPixelsBytes = kClusterChannels * kThreads * 4;

// A Fire's squeeze of one tile, in shared memory. pixel_bytes: all its channels of a pixel.
constexpr int64_t squeezed_bytes(int64_t pixel_bytes, const Tiling& tiling, bool pooled) {
  return pixel_bytes * ((pooled ? 2 * tiling.height + 1 : tiling.height) + 2) *
         ((pooled ? 2 * tiling.width + 1 : tiling.width) + 2);
}

// Values of shared memory for so many pixels by the blocks of a bundle.
constexpr int64_t mma_kept_values(int64_t pixels, int width, int value_bytes) {
  return pixels * (value_bytes == 2 ? (width == 2 ? KeptRow<2, 2>::kValues : KeptRow<1, 2>::kValues)
                                    : (width == 2 ? KeptRow<2, 4>::kValues : KeptRow<1, 4>::kValues));
}
// Pixels that warps compute in tiles of two, of a tile that is pooled.
constexpr int mma_pooled_pixels(const Tiling& tiling) {
  return ((2 * tiling.height + 1) * (2 * tiling.width + 1) + 2 * kTilePixels - 1) / (2 * kTilePixels) *
         (2 * kTilePixels);
}
// A Fire's squeeze of one tile, and what of the tile is pooled.
constexpr int64_t mma_fire_values(int squeeze_blocks, const Tiling& tiling, bool pooled, int width,
                                  int value_bytes) {
  return int64_t{kClusterChannels} * squeeze_blocks * ((pooled ? 2 * tiling.height + 1 : tiling.height) + 2) *
             ((pooled ? 2 * tiling.width + 1 : tiling.width) + 2) +
         (pooled ? mma_kept_values(mma_pooled_pixels(tiling), width, value_bytes) : 0);
}

// Of integers: words of a warp's sums, where slices of them meet; and values from a quad of a bundle's channels to the next, of
// a tile that is pooled: 8 words more keep the banks of four quads apart that lanes write at once.
constexpr int64_t mma_kept_words(int tiles, int width) {
  return int64_t{4} * kLanes * kTileEights * tiles * width;
}
constexpr int mma_plane_quads(const Tiling& tiling) { return mma_pooled_pixels(tiling) + 8; }

// Of shared memory, that kernels for tensor cores may ask for: two blocks of threads fit into the smallest device's.
constexpr int64_t kMmaSharedBytes = 48 << 10;

}  // namespace cuda
}  // namespace squish
