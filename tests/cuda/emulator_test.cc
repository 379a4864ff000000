// What the emulator computes, and the mistakes that it must not let pass: each is planted in a small kernel.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

#include "cuda/kernels/device.h"
#include "support/sanitizers.h"
#include "support/thread_orders.h"
#include "support/throws.h"

namespace squish::cuda {
namespace {

using emulator::KernelError;
using emulator::Options;
using emulator::Order;
using emulator::ScopedOptions;
using testing::kThreadOrders;
using testing::throws;

constexpr unsigned kThreads = 96, kBlocks = 5;
constexpr unsigned kAllLanes = 0xffffffffu;

struct Task {
  const float* in;
  float* out;
};

std::vector<float> counted(size_t n) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

// The kernel's output, [kBlocks][kThreads], of 1, 2, 3, ...
std::vector<float> run(void (*kernel)(Task), size_t outputs = kBlocks * kThreads) {
  const std::vector<float> in = counted(kBlocks * kThreads);
  std::vector<float> out(outputs);
  launch(kernel, kBlocks, kThreads, 0, nullptr, Task{in.data(), out.data()});
  return out;
}

enum class Bug { kNone, kPlanted };

// Each block's values in reverse order, through shared memory.
template <Bug bug>
__global__ void reverse_blocks(Task task) {
  SQUISH_SHARED(float, values, kThreads);
  values[threadIdx.x] = task.in[blockIdx.x * kThreads + threadIdx.x];
  if (bug == Bug::kNone) __syncthreads();
  task.out[blockIdx.x * kThreads + threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

std::vector<float> reversed_blocks() {
  std::vector<float> wanted = counted(kBlocks * kThreads);
  for (size_t b = 0; b < kBlocks; ++b) {
    const auto begin = wanted.begin() + static_cast<ptrdiff_t>(b * kThreads);
    std::reverse(begin, begin + kThreads);
  }
  return wanted;
}

TEST(Emulator, SharesMemoryAcrossABarrier) {
  for (Order order : kThreadOrders) {
    for (int workers : {1, 2}) {
      const ScopedOptions options({order, workers});
      EXPECT_EQ(run(reverse_blocks<Bug::kNone>), reversed_blocks());
    }
  }
}

TEST(Emulator, ShowsAMissingBarrier) {
  SQUISH_SKIP_UNDER_TSAN("a race is what it would report");
  for (Order order : {Order::kForward, Order::kReverse}) {
    const ScopedOptions options({order, 1});
    const std::vector<float> got = run(reverse_blocks<Bug::kPlanted>);
    EXPECT_TRUE(std::isnan(got[order == Order::kForward ? 0 : kThreads - 1])) << "was not written yet";
  }
}

TEST(EmulatorDeathTest, ReportsAMissingBarrierAsARace) {
  SQUISH_SKIP_WITHOUT_TSAN();
  EXPECT_EXIT((run(reverse_blocks<Bug::kPlanted>), std::exit(0)), ::testing::ExitedWithCode(66), "data race");
}

// The sum of a block, by its first thread.
template <Bug bug>
__global__ void sum_blocks(Task task) {
  SQUISH_SHARED(float, values, kThreads);
  if (bug == Bug::kNone || threadIdx.x > 0) values[threadIdx.x] = task.in[threadIdx.x];
  __syncthreads();
  float sum = 0;
  for (unsigned t = 0; t < kThreads; ++t) sum += values[t];
  if (threadIdx.x == 0) task.out[blockIdx.x] = sum;
}

TEST(Emulator, ShowsUninitialisedSharedMemory) {
  for (Order order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    for (float sum : run(sum_blocks<Bug::kNone>, kBlocks)) EXPECT_EQ(sum, kThreads * (kThreads + 1) / 2);
    for (float sum : run(sum_blocks<Bug::kPlanted>, kBlocks)) EXPECT_TRUE(std::isnan(sum)) << sum;
  }
}

__global__ void write_after_shared(Task) {
  SQUISH_SHARED(float, values, kThreads);
  SQUISH_SHARED(float, others, kThreads);
  others[threadIdx.x] = 0;
  values[threadIdx.x + 1] = 0;
}

__global__ void read_before_shared(Task task) {
  SQUISH_SHARED(float, values, kThreads);
  values[threadIdx.x] = 0;
  const int before = static_cast<int>(threadIdx.x) - 1;
  task.out[0] = values[before];
}

__global__ void write_after_dynamic(Task) {
  SQUISH_DYNAMIC_SHARED(float, values);
  values[threadIdx.x + 1] = 0;
}

__global__ void write_after_global(Task task) { task.out[blockIdx.x * kThreads + threadIdx.x + 1] = 0; }

TEST(EmulatorDeathTest, FindsAccessesOutOfBounds) {
  SQUISH_SKIP_WITHOUT_ASAN();
  EXPECT_DEATH(run(write_after_shared), "use-after-poison.*");
  EXPECT_DEATH(run(read_before_shared), "use-after-poison.*");
  EXPECT_DEATH(run(write_after_global), "heap-buffer-overflow.*");
  EXPECT_DEATH(launch(write_after_dynamic, 1, kThreads, kThreads * sizeof(float), nullptr, Task{}),
               "use-after-poison.*");
}

__global__ void divergent_barrier(Task) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void deserted_barrier(Task) {
  if (threadIdx.x == 40) return;
  __syncthreads();
}

__global__ void uneven_loop(Task) {
  for (unsigned i = 0; i <= threadIdx.x / 32; ++i) __syncthreads();
}

TEST(Emulator, RejectsDivergentBarriers) {
  for (Order order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    EXPECT_TRUE(throws<KernelError>([] { run(divergent_barrier); }, "emulator_test.cc:"));
    EXPECT_TRUE(throws<KernelError>([] { run(divergent_barrier); }, "divergent barrier: thread "));
    EXPECT_TRUE(
        throws<KernelError>([] { run(deserted_barrier); }, "divergent barrier: thread 40 has returned"));
    EXPECT_TRUE(throws<KernelError>([] { run(uneven_loop); }, "divergent barrier: thread 0 has returned"));
    EXPECT_EQ(run(reverse_blocks<Bug::kNone>), reversed_blocks()) << "works after an error";
  }
}

template <typename Op>
__device__ void store(Task task, Op&& op) {
  task.out[blockIdx.x * kThreads + threadIdx.x] = op(task.in[blockIdx.x * kThreads + threadIdx.x]);
}

__global__ void shuffle_down(Task task) {
  store(task, [](float v) { return __shfl_down_sync(kAllLanes, v, 3); });
}
__global__ void shuffle_xor(Task task) {
  store(task, [](float v) { return __shfl_xor_sync(kAllLanes, v, 5); });
}
__global__ void shuffle_first(Task task) {
  store(task, [](float v) { return __shfl_sync(kAllLanes, v, 0); });
}

TEST(Emulator, Shuffles) {
  for (Order order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    const auto down = run(shuffle_down), crossed = run(shuffle_xor), first = run(shuffle_first);
    for (size_t i = 0; i < down.size(); ++i) {
      const size_t lane = i % 32, warp = i - lane + 1;  // the value of lane l is warp + l
      EXPECT_EQ(down[i], static_cast<float>(lane + 3 < 32 ? warp + lane + 3 : warp + lane));
      EXPECT_EQ(crossed[i], static_cast<float>(warp + (lane ^ 5)));
      EXPECT_EQ(first[i], static_cast<float>(warp));
    }
  }
}

// Odd lanes and even ones meet apart; what one half finds out the other must not see.
__global__ void vote(Task task) {
  const unsigned even = 0x55555555u, mask = threadIdx.x % 2 == 0 ? even : ~even;
  store(task, [=](float v) {
    const unsigned below = __ballot_sync(mask, threadIdx.x % 32 < 4);
    const int any = __any_sync(mask, threadIdx.x % 32 == 1), all = __all_sync(mask, v > 0);
    __syncwarp(mask);
    return static_cast<float>(below + 100 * static_cast<unsigned>(any) + 1000 * static_cast<unsigned>(all));
  });
}

TEST(Emulator, Votes) {
  for (Order order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    const auto got = run(vote);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], i % 2 == 0 ? 1005 : 1110) << i;
  }
}

__global__ void incomplete_mask(Task task) {
  if (threadIdx.x % 32 < 20) store(task, [](float v) { return __shfl_xor_sync(kAllLanes, v, 1); });
}
__global__ void not_in_the_mask(Task task) {
  store(task, [](float v) { return __shfl_xor_sync(0x0000ffffu, v, 1); });
}
__global__ void from_outside_the_mask(Task task) {
  if (threadIdx.x % 32 < 16) store(task, [](float v) { return __shfl_down_sync(0x0000ffffu, v, 8); });
}
__global__ void different_places(Task) {
  if (threadIdx.x % 2 == 0) {
    __syncwarp();
  } else {
    __syncwarp();
  }
}
__global__ void barrier_and_warp(Task) {
  if (threadIdx.x == 3) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

TEST(Emulator, RejectsWarpOperationsThatAreNotWhole) {
  for (Order order : kThreadOrders) {
    const ScopedOptions options({order, 1});
    EXPECT_TRUE(throws<KernelError>([] { run(incomplete_mask); },
                                    "warp operation of mask 0xffffffff waits for lanes 0xfff00000"));
    EXPECT_TRUE(throws<KernelError>([] { run(incomplete_mask); }, "emulator_test.cc:"));
    EXPECT_TRUE(throws<KernelError>([] { run(not_in_the_mask); }, "not in its mask 0x0000ffff"));
    EXPECT_TRUE(
        throws<KernelError>([] { run(from_outside_the_mask); }, "shuffle from lane 16, not in its mask"));
    EXPECT_TRUE(throws<KernelError>([] { run(different_places); }, "are at different places"));
    EXPECT_TRUE(throws<KernelError>([] { run(barrier_and_warp); }, "waits for lanes 0x00000008"));
  }
}

struct Count {
  int* counter;
  int* largest;
  float* sum;
};

template <Bug bug>
__global__ void count(Count task) {
  if (bug == Bug::kNone) {
    atomicAdd(task.counter, 1);
    atomicAdd(task.sum, 0.5f);
    atomicMax(task.largest, static_cast<int>(blockIdx.x * kThreads + threadIdx.x));
  } else {
    *task.counter += 1;
  }
}

template <Bug bug>
void run_count(int workers) {
  const ScopedOptions options({Order::kForward, workers});
  int counter = 0, largest = -1;
  float sum = 0;
  launch(count<bug>, kBlocks, kThreads, 0, nullptr, Count{&counter, &largest, &sum});
  if (bug == Bug::kPlanted) return;
  EXPECT_EQ(counter, kBlocks * kThreads);
  EXPECT_EQ(largest, kBlocks * kThreads - 1);
  EXPECT_EQ(sum, 0.5f * kBlocks * kThreads);
}

TEST(Emulator, AddsAtomically) {
  for (int workers : {1, 2}) run_count<Bug::kNone>(workers);
}

TEST(EmulatorDeathTest, ReportsAMissingAtomicAsARace) {
  SQUISH_SKIP_WITHOUT_TSAN();
  for (int workers : {1, 2}) {
    EXPECT_EXIT((run_count<Bug::kPlanted>(workers), std::exit(0)), ::testing::ExitedWithCode(66),
                "data race");
  }
}

// Two blocks, one value: on two workers nothing orders them. They wait for each other in a way that does not order them
// either: ThreadSanitizer may forget a worker that has ended before the next one begins.
std::atomic<unsigned> begun{0};
__global__ void first_threads_count(Count task) {
  if (threadIdx.x != 0) return;
  begun.fetch_add(1, std::memory_order_relaxed);
  while (begun.load(std::memory_order_relaxed) < 2) std::this_thread::yield();
  *task.counter += 1;
}

TEST(EmulatorDeathTest, ReportsARaceBetweenBlocks) {
  SQUISH_SKIP_WITHOUT_TSAN();
  const auto race = [] {
    const ScopedOptions options({Order::kForward, 2});
    int counter = 0;
    launch(first_threads_count, kBlocks, kThreads, 0, nullptr, Count{&counter, nullptr, nullptr});
    std::exit(0);
  };
  EXPECT_EXIT(race(), ::testing::ExitedWithCode(66), "data race");
}

TEST(Emulator, RejectsLaunchesThatNoDeviceTakes) {
  const Task task{};
  const auto launching = [&](dim3 grid, unsigned threads, size_t bytes) {
    return [=] { launch(write_after_global, grid, threads, bytes, nullptr, task); };
  };
  EXPECT_TRUE(throws<KernelError>(launching(1, 0, 0), "blocks of 0 threads"));
  EXPECT_TRUE(throws<KernelError>(launching(1, 1025, 0), "blocks of 1025 threads"));
  EXPECT_TRUE(throws<KernelError>(launching({1, 0, 1}, 32, 0), "grid of 1x0x1"));
  EXPECT_TRUE(throws<KernelError>(launching({1, 65536, 1}, 32, 0), "grid of 1x65536x1"));
  EXPECT_TRUE(throws<KernelError>(launching(1, 32, emulator::kSharedBytes + 1), "49153 bytes"));
}

__global__ void too_much_shared(Task) {
  SQUISH_SHARED(float, values, 8192);
  SQUISH_SHARED(float, more, 8192);
  values[threadIdx.x] = more[threadIdx.x] = 0;
}

TEST(Emulator, RejectsMoreSharedMemoryThanABlockHas) {
  EXPECT_TRUE(throws<KernelError>([] { run(too_much_shared); }, "got 65536 bytes a block, at most 49152"));
}

TEST(Emulator, RoundsHalvesOnce) {
  // 1 + 2^-11 + 2^-30 lies right above the middle of two halves, and rounds down only if it was a float before.
  EXPECT_EQ(__half2float(emulator::half_from_double(1 + 0x1p-11 + 0x1p-30)), 1 + 0x1p-10f);
  EXPECT_EQ(__half2float(emulator::half_from_double(-1 - 0x1p-11 - 0x1p-30)), -1 - 0x1p-10f);
  EXPECT_EQ(__half2float(emulator::half_from_double(1 + 0x1p-11)), 1);
  EXPECT_EQ(__half2float(__float2half(65519.0f)), 65504.0f);
  const __half2 a = __halves2half2(__float2half(1.5f), __float2half(-2)),
                sum = __hfma2(a, a, __float2half2_rn(1));
  EXPECT_EQ(__low2float(sum), 3.25f);
  EXPECT_EQ(__high2float(sum), 5);
}

TEST(Emulator, ConvertsFloatsToIntegers) {
  EXPECT_EQ(__float2int_rn(2.5f), 2) << "ties to even";
  EXPECT_EQ(__float2int_rn(-3.5f), -4);
  EXPECT_EQ(__float2int_rn(0x1p31f), 0x7FFFFFFF);
  EXPECT_EQ(__float2int_rn(-0x1.8p31f), -0x7FFFFFFF - 1);
  EXPECT_EQ(__float2int_rn(std::nanf("")), 0);
  EXPECT_EQ(__int2float_rn(0x1000001), 0x1p24f);
}

TEST(Emulator, FindsTheLargerBytes) { EXPECT_EQ(__vmaxu4(0x01FF7F80u, 0x02008080u), 0x02FF8080u); }

}  // namespace
}  // namespace squish::cuda
