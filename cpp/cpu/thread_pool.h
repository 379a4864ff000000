// A session's own threads. Exactly as many as were asked for, the calling one included.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace squish {

class ThreadPool {
 public:
  // Throws DeviceError where the system does not give as many.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(worker) once on each thread, worker = 0 (the caller) .. size() - 1, and returns when all have ended.
  // Allocates nothing. The task must not throw. One thread at a time calls each().
  template <typename Task>
  void each(Task&& task) {
    using Body = std::remove_reference_t<Task>;
    run([](void* body, int worker) { (*static_cast<Body*>(body))(worker); },
        const_cast<void*>(static_cast<const void*>(&task)));
  }

 private:
  using Function = void (*)(void*, int);

  void run(Function function, void* body);
  void work(int worker);
  void stop();
  bool wait_for_job(uint32_t last_job);

  // A job is published by adding 1 to job_; each worker that has done it takes 1 from pending_.
  Function function_ = nullptr;
  void* body_ = nullptr;
  std::atomic<uint32_t> job_{0};
  std::atomic<int> pending_{0};
  std::atomic<bool> stopping_{false};
  // Workers that found nothing to do for a while sleep here.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace squish
