#include "cpu/thread_pool.h"

#include <string>
#include <system_error>

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
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <typename Ready>
bool spin_until(Ready ready) {
  for (int i = 0; i < kPauses; ++i) {
    if (ready()) return true;
    pause_cpu();
  }
  for (int i = 0; i < kYields; ++i) {
    if (ready()) return true;
    std::this_thread::yield();
  }
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  try {
    for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
  } catch (const std::system_error& error) {
    const int started = size();
    stop();  // a thread that nobody joins would end the program
    throw DeviceError("threads: got " + std::to_string(threads) + ", the system gives no more than " +
                      std::to_string(started) + " (" + error.what() + ")");
  } catch (...) {  // out of memory
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(Function function, void* body) {
  if (workers_.empty()) return function(body, 0);
  function_ = function;
  body_ = body;
  pending_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
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
bool ThreadPool::wait_for_job(uint32_t last_job) {
  const auto ready = [&] { return job_.load(std::memory_order_acquire) != last_job || stopping_; };
  if (!spin_until(ready)) {
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait(lock, ready);
  }
  return job_.load(std::memory_order_acquire) != last_job;
}

void ThreadPool::work(int worker) {
  for (uint32_t job = 0; wait_for_job(job); ++job) {
    function_(body_, worker);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace squish
