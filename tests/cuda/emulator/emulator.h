// The words of CUDA that our kernels use, for a C++ compiler: one include turns device code into a program that runs on
// the CPU, where tests and sanitizers see it. Included by cuda/kernels/device.h, where the compiler is not CUDA's.
//
// Not modelled: speed, registers, bank conflicts, memory that is ordered more weakly than here, kernels of two streams in
// the same moment (streams take turns, kernel by kernel).
#pragma once

#include <cmath>
#include <cstring>
#include <limits>

#include "emulator/half.h"
#include "emulator/scheduler.h"
#include "emulator/stream.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define SQUISH_UNROLL
#define SQUISH_UNROLL_BY(n)
#define SQUISH_SHARED(Type, name, count) \
  static const char name##_key = 0;      \
  Type* const name =                     \
      static_cast<Type*>(::squish::emulator::shared_array(&name##_key, sizeof(Type) * size_t{count}))
#define SQUISH_DYNAMIC_SHARED(Type, name) \
  Type* const name = static_cast<Type*>(::squish::emulator::shared_array(nullptr, 0))

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  unsigned x, y, z;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

// Set by the scheduler before a thread goes on.
inline thread_local uint3 threadIdx, blockIdx, blockDim, gridDim;

#define SQUISH_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(SQUISH_SITE) { squish::emulator::wait_at_barrier({file, line}); }

inline unsigned __ballot_sync(unsigned mask, int predicate, SQUISH_SITE) {
  using squish::emulator::WarpOp;
  return static_cast<unsigned>(
      squish::emulator::meet_in_warp(WarpOp::kBallot, mask, predicate != 0, 0, {file, line}));
}
inline int __any_sync(unsigned mask, int predicate, SQUISH_SITE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SQUISH_SITE) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}
inline void __syncwarp(unsigned mask = ~0u, SQUISH_SITE) { __ballot_sync(mask, 0, file, line); }

namespace squish::emulator {

inline unsigned lane() { return threadIdx.x % 32; }

template <typename T>
T shuffle(unsigned mask, T value, unsigned source, Site site) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "shuffles move up to 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = meet_in_warp(WarpOp::kShuffle, mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace squish::emulator

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, SQUISH_SITE) {
  return squish::emulator::shuffle(mask, value, static_cast<unsigned>(source) % 32, {file, line});
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, SQUISH_SITE) {
  const unsigned source = squish::emulator::lane() ^ static_cast<unsigned>(bits);
  return squish::emulator::shuffle(mask, value, source, {file, line});
}
// Lanes that would read beyond the warp keep their own value.
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, SQUISH_SITE) {
  const unsigned lane = squish::emulator::lane();
  return squish::emulator::shuffle(mask, value, lane + delta < 32 ? lane + delta : lane, {file, line});
}

template <typename T>
T atomicAdd(T* at, T value) {
  T before, after;
  __atomic_load(at, &before, __ATOMIC_RELAXED);
  do {
    after = before + value;
  } while (!__atomic_compare_exchange(at, &before, &after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return before;
}
inline int atomicOr(int* at, int bits) { return __atomic_fetch_or(at, bits, __ATOMIC_RELAXED); }
inline int atomicMax(int* at, int value) {
  int before = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (before < value &&
         !__atomic_compare_exchange_n(at, &before, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return before;
}

// Each rounds by itself: the build contracts nothing (cmake/SquishFlags.cmake).
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __int2float_rn(int value) { return static_cast<float>(value); }
// Ties to even. What is beyond becomes the largest or the smallest, NaN 0.
inline int __float2int_rn(float value) {
  if (std::isnan(value)) return 0;
  const float rounded = std::nearbyint(value);
  if (rounded >= 0x1p31f) return std::numeric_limits<int>::max();
  return rounded < -0x1p31f ? std::numeric_limits<int>::min() : static_cast<int>(rounded);
}
// The larger of each of four bytes.
inline unsigned __vmaxu4(unsigned a, unsigned b) {
  unsigned larger = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    const unsigned byte = 0xFFu << shift;
    larger |= (a & byte) > (b & byte) ? a & byte : b & byte;
  }
  return larger;
}

namespace squish::cuda {

inline void wait_for_earlier_kernels() {}  // they have ended

// `stream`: an emulator::Stream, where the kernel runs later; null: it has run when this returns.
template <typename Task>
void launch(void (*kernel)(Task), dim3 grid, unsigned threads, size_t dynamic_bytes, void* stream,
            const Task& task) {
  struct Call {
    void (*kernel)(Task);
    Task task;
  };
  const emulator::LaunchShape shape{{grid.x, grid.y, grid.z}, threads, dynamic_bytes};
  emulator::run_on(stream, [shape, call = Call{kernel, task}] {
    emulator::run_blocks(
        shape, [](const void* c) { static_cast<const Call*>(c)->kernel(static_cast<const Call*>(c)->task); },
        &call);
  });
}

}  // namespace squish::cuda
