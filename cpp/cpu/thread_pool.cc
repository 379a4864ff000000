#include "cpu/thread_pool.h"

#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "squish/error.h"

namespace squish {
namespace {

// The steps of a net follow each other within microseconds: waking a sleeper for each would cost more than the step.
// So workers spin briefly, then give their core away, then sleep: an idle session burns no core.
constexpr int kPauses = 2000;
constexpr int kYields = 50;

void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
  asm volatile("yield");
#endif
}

#if defined(__linux__)
// Those that the caller is bound to (taskset, a container's set of CPUs); 0: unknown.
int usable_cores() {
  constexpr int kMost = 1 << 20;
  for (int most = 1024; most <= kMost; most *= 2) {  // fails where the kernel knows more
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> cores(CPU_ALLOC(static_cast<size_t>(most)),
                                                                 [](cpu_set_t* set) { CPU_FREE(set); });
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(most));
    if (cores == nullptr) break;
    if (sched_getaffinity(0, bytes, cores.get()) == 0) return CPU_COUNT_S(bytes, cores.get());
  }
  return 0;
}
#else
int usable_cores() { return static_cast<int>(std::thread::hardware_concurrency()); }
#endif

bool have_cores(int threads) {
  const int cores = usable_cores();
  return cores == 0 || threads <= cores;
}

}  // namespace

class ThreadPool::Workers {
 public:
  explicit Workers(int count);
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  bool spins() const { return pauses_ > 0; }
  void run(Function function, void* body);

 private:
  template <typename Ready>
  bool spin_until(Ready ready) const;
  bool wait_for_job(uint32_t last_job);
  void work(int worker);
  void stop();

  // Who spins on a core that another thread waits for keeps it from the work.
  const int pauses_;
  // A job is published by adding 1 to job_; each worker that has done it takes 1 from pending_.
  Function function_ = nullptr;
  void* body_ = nullptr;
  std::atomic<uint32_t> job_{0};
  std::atomic<int> pending_{0};
  std::atomic<bool> stopping_{false};
  // Workers that found nothing to do for a while sleep here.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> threads_;
};

ThreadPool::Workers::Workers(int count) : pauses_(have_cores(count + 1) ? kPauses : 0) {
  try {
    for (int worker = 1; worker <= count; ++worker) threads_.emplace_back([this, worker] { work(worker); });
  } catch (const std::system_error& error) {
    const size_t started = threads_.size() + 1;
    stop();  // a thread that nobody joins would end the program
    throw DeviceError("threads: got " + std::to_string(count + 1) + ", the system gives no more than " +
                      std::to_string(started) + " (" + error.what() + ")");
  } catch (...) {  // out of memory
    stop();
    throw;
  }
}

void ThreadPool::Workers::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

template <typename Ready>
bool ThreadPool::Workers::spin_until(Ready ready) const {
  for (int i = 0; i < pauses_; ++i) {
    if (ready()) return true;
    pause_cpu();
  }
  for (int i = 0; i < kYields; ++i) {
    if (ready()) return true;
    std::this_thread::yield();
  }
  return ready();
}

void ThreadPool::Workers::run(Function function, void* body) {
  function_ = function;
  body_ = body;
  pending_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
  {
    // The lock makes sure that a worker about to sleep sees the job or hears the notification.
    const std::lock_guard<std::mutex> lock(mutex_);
    job_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  function(body, 0);
  const auto done = [this] { return pending_.load(std::memory_order_acquire) == 0; };
  while (!spin_until(done)) {
  }
}

// Waits until there is a job after last_job (true) or the pool ends (false).
bool ThreadPool::Workers::wait_for_job(uint32_t last_job) {
  const auto ready = [&] { return job_.load(std::memory_order_acquire) != last_job || stopping_; };
  if (!spin_until(ready)) {
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait(lock, ready);
  }
  return job_.load(std::memory_order_acquire) != last_job;
}

void ThreadPool::Workers::work(int worker) {
  for (uint32_t job = 0; wait_for_job(job); ++job) {
    function_(body_, worker);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

ThreadPool::ThreadPool(int threads)
    : size_(threads),
      process_(::getpid()),
      workers_(threads > 1 ? std::make_unique<Workers>(threads - 1) : nullptr) {}

ThreadPool::~ThreadPool() {
  if (process_ != ::getpid()) leave_workers();
}

// Joining threads that are not there, or locking what one of them held, would wait for ever.
void ThreadPool::leave_workers() { [[maybe_unused]] const Workers* leaked = workers_.release(); }

void ThreadPool::start_after_fork() {
  if (size_ == 1 || process_ == ::getpid()) return;
  auto own = std::make_unique<Workers>(size_ - 1);
  leave_workers();
  workers_ = std::move(own);
  process_ = ::getpid();
}

bool ThreadPool::spins() const { return workers_ != nullptr && workers_->spins(); }

void ThreadPool::run(Function function, void* body) {
  if (size_ == 1) return function(body, 0);
  workers_->run(function, body);
}

}  // namespace squish
