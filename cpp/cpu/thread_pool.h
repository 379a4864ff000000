// A session's own threads. Exactly as many as were asked for, the calling one included.
#pragma once

#include <sys/types.h>

#include <memory>
#include <type_traits>

namespace squish {

class ThreadPool {
 public:
  // Throws DeviceError where the system does not give as many.
  explicit ThreadPool(int threads);
  // In a child of fork() that did not call start_after_fork(), what its parent's threads used is left as it is.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }
  // Whether threads that wait for each other spin: where each may have a core of those that the pool's maker is bound to.
  bool spins() const;

  // fork() copies the pool but none of its threads: starts them in a child, and does nothing where they are. Throws as
  // the constructor does.
  void start_after_fork();

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
  class Workers;

  void run(Function function, void* body);
  void leave_workers();

  int size_;
  pid_t process_;
  std::unique_ptr<Workers> workers_;  // all but the caller
};

}  // namespace squish
