#include "cpu/thread_pool.h"

#include <gtest/gtest.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "allocations.h"
#include "squish/error.h"
#include "support/throws.h"

namespace squish {
namespace {

constexpr int kSizes[] = {1, 2, 3, 5};

TEST(ThreadPool, CallsEachWorkerOnceForEachJob) {
  constexpr int kJobs = 2000;
  for (int size : kSizes) {
    ThreadPool pool(size);
    ASSERT_EQ(pool.size(), size);
    std::vector<int> calls(static_cast<size_t>(size));  // no atomics: each() orders what workers do
    for (int job = 1; job <= kJobs; ++job) {
      pool.each([&](int worker) { ++calls.at(static_cast<size_t>(worker)); });
      for (int count : calls) ASSERT_EQ(count, job) << size << " threads";
    }
  }
}

TEST(ThreadPool, RunsEachWorkerOnItsOwnThread) {
  ThreadPool pool(4);
  std::vector<std::thread::id> first(4), second(4);
  pool.each([&](int worker) { first[static_cast<size_t>(worker)] = std::this_thread::get_id(); });
  pool.each([&](int worker) { second[static_cast<size_t>(worker)] = std::this_thread::get_id(); });
  EXPECT_EQ(first, second);
  EXPECT_EQ(first[0], std::this_thread::get_id()) << "worker 0 is the caller";
  for (size_t a = 0; a < 4; ++a) {
    for (size_t b = 0; b < a; ++b) EXPECT_NE(first[a], first[b]);
  }
}

// Long enough for the workers to stop spinning and sleep.
void let_workers_sleep() { std::this_thread::sleep_for(std::chrono::milliseconds(30)); }

TEST(ThreadPool, WakesWorkersThatSleep) {
  ThreadPool pool(3);
  std::vector<int> calls(3);
  for (int job = 1; job <= 5; ++job) {
    let_workers_sleep();
    pool.each([&](int worker) { ++calls[static_cast<size_t>(worker)]; });
    EXPECT_EQ(calls, std::vector<int>(3, job));
  }
}

TEST(ThreadPool, WaitsForSlowWorkers) {
  ThreadPool pool(3);
  bool done = false;
  pool.each([&](int worker) {
    if (worker != 2) return;
    let_workers_sleep();
    done = true;
  });
  EXPECT_TRUE(done);
}

#if defined(__linux__)
// As taskset does.
class BoundToOneCore {
 public:
  BoundToOneCore() {
    if (sched_getaffinity(0, sizeof all_, &all_) != 0) return;  // of a machine with more than 1024
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(sched_getcpu()), &one);
    bound_ = sched_setaffinity(0, sizeof one, &one) == 0;
  }
  ~BoundToOneCore() {
    if (bound_) sched_setaffinity(0, sizeof all_, &all_);
  }
  BoundToOneCore(const BoundToOneCore&) = delete;
  BoundToOneCore& operator=(const BoundToOneCore&) = delete;

  bool bound() const { return bound_; }

 private:
  cpu_set_t all_{};
  bool bound_ = false;
};

// Who spins on a core that another thread waits for keeps it from the work: on one core 2 threads took ten times as long.
TEST(ThreadPool, SpinsOnlyWhereEachThreadMayHaveACore) {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) {
    EXPECT_EQ(ThreadPool(2).spins(), CPU_COUNT(&cores) >= 2);
    EXPECT_FALSE(ThreadPool(CPU_COUNT(&cores) + 1).spins());
  }
  const BoundToOneCore one;
  if (!one.bound()) GTEST_SKIP() << "cannot be bound to one core";
  ThreadPool pool(3);
  EXPECT_FALSE(pool.spins());
  std::vector<int> calls(3);
  for (int job = 1; job <= 100; ++job) {
    pool.each([&](int worker) { ++calls[static_cast<size_t>(worker)]; });
    EXPECT_EQ(calls, std::vector<int>(3, job));
  }
}
#endif

TEST(ThreadPool, EndsAtOnceAndWhileItsWorkersSleep) {
  for (int round = 0; round < 100; ++round) {
    for (int size : kSizes) const ThreadPool pool(size);
  }
  const ThreadPool pool(5);
  let_workers_sleep();
}

// A thread that has started and is not joined would end the program.
TEST(ThreadPool, EndsItsThreadsWhereMemoryEndsBetween) {
  bool fits = false;
  for (int64_t allocations = 0; !fits; ++allocations) {
    const testing::AllocationLimit limit(allocations);
    try {
      const ThreadPool pool(5);
      fits = true;
    } catch (const std::bad_alloc&) {
    }
  }
}

// Threads of this process, as the kernel counts them; 0 where it does not say.
int os_threads() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int count = 0;
    if (word == "Threads:" && status >> count) return count;
  }
  return 0;
}

// A thread that was joined stays in the kernel's count for a moment. Returns the count when it is `wanted` or
// stays different for a second.
int settled_os_threads(int wanted) {
  for (int wait = 0; wait < 1000 && os_threads() != wanted; ++wait) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return os_threads();
}

TEST(ThreadPool, HasExactlyAsManyThreadsAsAskedFor) {
  const ThreadPool first(2);  // with the first thread ThreadSanitizer starts one of its own
  const int before = os_threads();
  if (before == 0) GTEST_SKIP() << "no thread count in /proc/self/status";
  for (int size : kSizes) {
    {
      const ThreadPool pool(size);
      EXPECT_EQ(settled_os_threads(before + size - 1), before + size - 1);
    }
    EXPECT_EQ(settled_os_threads(before), before);
  }
}

#if SQUISH_TEST_MEMORY_LIMITS && defined(__linux__)
// Leaves address space for the stacks of a few more threads only.
void limit_memory() {
  std::ifstream statm("/proc/self/statm");
  rlim_t pages = 0;
  statm >> pages;
  const rlim_t bytes = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{40} << 20);
  const rlimit limit{bytes, bytes};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::exit(2);
}

// Where some threads have started and the next cannot: an exception, not the end of the program.
TEST(ThreadPoolDeathTest, SaysHowManyThreadsTheSystemGives) {
  const auto ask_for_many = [] {
    limit_memory();
    const bool says_so = testing::throws<DeviceError>([] { ThreadPool pool(1000); },
                                                      "threads: got 1000, the system gives no more than ");
    std::exit(says_so ? 0 : 1);
  };
  EXPECT_EXIT(ask_for_many(), ::testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace squish
