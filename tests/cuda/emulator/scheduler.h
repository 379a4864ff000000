// Runs the blocks of a launch, one fiber a CUDA thread, switching between them where they wait for each other.
// Called by emulator.h; tests choose the order and look at the errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace squish::emulator {

// The order in which threads run between barriers, and blocks. What a correct kernel computes does not depend on it.
enum class Order { kForward, kReverse, kRandom };

struct Options {
  Order order = Order::kForward;
  int workers = 1;  // threads of the operating system, over the blocks: block b runs on worker b % workers
};

// For all launches until it is destroyed. Not to be used while kernels run.
class ScopedOptions {
 public:
  explicit ScopedOptions(const Options& options);
  ~ScopedOptions();
  ScopedOptions(const ScopedOptions&) = delete;
  ScopedOptions& operator=(const ScopedOptions&) = delete;

 private:
  Options before_;
};

// A kernel broke a rule of CUDA: "file:line: what".
class KernelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Extent {
  unsigned x = 1, y = 1, z = 1;
  size_t count() const { return size_t{x} * y * z; }
};

struct LaunchShape {
  Extent grid;
  unsigned threads;      // a block, in x
  size_t dynamic_bytes;  // of shared memory
};

inline constexpr size_t kSharedBytes = 48 << 10;  // a block may have without asking for more

// Calls kernel(task) once a CUDA thread. Throws KernelError.
void run_blocks(const LaunchShape& shape, void (*kernel)(const void* task), const void* task);

// What follows is called by kernels.

struct Site {
  const char* file;
  int line;
};

void wait_at_barrier(Site site);

// All lanes of the mask meet and each gives a value. kShuffle: each gets that of the lane it names; kBallot: a bit for
// each lane whose value is not 0; kCompute: compute_in_warp's.
enum class WarpOp : uint8_t { kShuffle, kBallot, kCompute };
uint64_t meet_in_warp(WarpOp op, unsigned mask, uint64_t value, unsigned source_lane, Site site);

// All 32 lanes meet, and the function is called once, with what each gave: what lies there is the function's to read and
// write, as no lane goes on before it returns. It is built without -fsanitize=thread: for ThreadSanitizer this orders
// nothing, as CUDA promises no more.
using WarpFunction = void (*)(void* const lanes[]);
void compute_in_warp(WarpFunction function, void* lane, Site site);

// The block's array that belongs to this key: all bits set (NaN) when the block begins, with forbidden bytes around it
// under AddressSanitizer. The key null: the dynamic one.
void* shared_array(const void* key, size_t bytes);

}  // namespace squish::emulator
