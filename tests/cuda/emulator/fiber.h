// Threads of execution that hand over to each other by name, on one thread of the operating system: what CUDA threads
// are in the emulator. Known to AddressSanitizer and ThreadSanitizer, where the program is built with one of them.
#pragma once

#include <cstddef>

namespace squish::emulator {

// A place to switch to: a fiber, or the thread that runs fibers.
struct Context {
  void* stack_pointer = nullptr;
  const void* stack_bottom = nullptr;  // of the thread: found out when it is first left
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
  void* tsan_fiber = nullptr;
  void (*body)(void*) = nullptr;  // of a fiber
  void* argument = nullptr;
};

// The running thread as a context.
Context this_thread();

// Saves the running context in `from` and goes on where `to` was left. For ThreadSanitizer nothing is ordered by it.
void switch_context(Context& from, Context& to);

// Calls body(argument) when it is first switched to. The body never returns.
class Fiber {
 public:
  Fiber(void (*body)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  Context& context() { return context_; }

 private:
  Context context_;
  void* mapping_;
};

// For ThreadSanitizer: what was done before release(at) comes before what is done after acquire(at).
void acquire(void* at);
void release(void* at);
// The same on behalf of a fiber that does not run any more. `self`: the running context.
void release_for(Context& fiber, Context& self, void* at);

}  // namespace squish::emulator
