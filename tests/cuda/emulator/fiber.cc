// Built without -fsanitize=thread: it tells ThreadSanitizer what it does.
#include "emulator/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <new>

// Null where the program is built without that sanitizer.
#define SQUISH_SANITIZER_CALL extern "C" __attribute__((weak))
SQUISH_SANITIZER_CALL void __sanitizer_start_switch_fiber(void**, const void*, size_t);
SQUISH_SANITIZER_CALL void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
SQUISH_SANITIZER_CALL void __asan_unpoison_memory_region(const volatile void*, size_t);
SQUISH_SANITIZER_CALL void* __tsan_create_fiber(unsigned);
SQUISH_SANITIZER_CALL void __tsan_destroy_fiber(void*);
SQUISH_SANITIZER_CALL void* __tsan_get_current_fiber();
SQUISH_SANITIZER_CALL void __tsan_switch_to_fiber(void*, unsigned);
SQUISH_SANITIZER_CALL void __tsan_acquire(void*);
SQUISH_SANITIZER_CALL void __tsan_release(void*);

// Pushes the registers that a called function must keep, swaps stacks, pops them. The first switch to a fiber pops
// what prepare_stack() laid there and "returns" to enter_fiber.
extern "C" void squish_switch_stack(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
.text
.globl squish_switch_stack
.type squish_switch_stack, @function
squish_switch_stack:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size squish_switch_stack, . - squish_switch_stack
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl squish_switch_stack
.type squish_switch_stack, %function
squish_switch_stack:
  stp x29, x30, [sp, #-160]!
  stp x19, x20, [sp, #16]
  stp x21, x22, [sp, #32]
  stp x23, x24, [sp, #48]
  stp x25, x26, [sp, #64]
  stp x27, x28, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #16]
  ldp x21, x22, [sp, #32]
  ldp x23, x24, [sp, #48]
  ldp x25, x26, [sp, #64]
  ldp x27, x28, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  ldp x29, x30, [sp], #160
  ret
.size squish_switch_stack, . - squish_switch_stack
)");
#else
#error "the emulator knows how to switch stacks on x86-64 and aarch64"
#endif

namespace squish::emulator {
namespace {

constexpr size_t kStackBytes = size_t{256}
                               << 10;       // sanitizers make frames large; untouched pages cost nothing
constexpr unsigned kNoSynchronisation = 1;  // of __tsan_switch_to_fiber

// The context that switched to the running one, and the running one.
thread_local Context *previous = nullptr, *running = nullptr;

void arrive(void* fake_stack) {
  if (__sanitizer_finish_switch_fiber == nullptr) return;
  __sanitizer_finish_switch_fiber(fake_stack, &previous->stack_bottom, &previous->stack_bytes);
}

// The first frame of a fiber.
void enter_fiber() {
  arrive(nullptr);
  running->body(running->argument);
  __builtin_trap();
}

// What squish_switch_stack pops, with enter_fiber as the address to return to; the stack pointer is then where the
// platform's calling convention wants it at a function's first instruction.
void* prepare_stack(char* top) {
#if defined(__x86_64__)
  auto** frame = reinterpret_cast<void**>(top) - 8;
  frame[6] = reinterpret_cast<void*>(&enter_fiber);
#else
  auto** frame = reinterpret_cast<void**>(top) - 20;
  frame[1] = reinterpret_cast<void*>(&enter_fiber);
#endif
  return frame;
}

}  // namespace

Context this_thread() {
  Context context;
  if (__tsan_get_current_fiber != nullptr) context.tsan_fiber = __tsan_get_current_fiber();
  return context;
}

void switch_context(Context& from, Context& to) {
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack_bottom, to.stack_bytes);
  }
  if (__tsan_switch_to_fiber != nullptr) __tsan_switch_to_fiber(to.tsan_fiber, kNoSynchronisation);
  previous = &from;
  running = &to;
  squish_switch_stack(&from.stack_pointer, to.stack_pointer);
  arrive(from.fake_stack);
}

Fiber::Fiber(void (*body)(void*), void* argument) {
  mapping_ =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) throw std::bad_alloc();
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  mprotect(mapping_, page, PROT_NONE);  // a kernel that needs more stack dies here
  auto* const bottom = static_cast<char*>(mapping_) + page;
  context_.stack_bottom = bottom;
  context_.stack_bytes = kStackBytes - page;
  // Stacks that all began at the same distance from a page would share a few sets of the cache.
  static std::atomic<size_t> colour{0};
  context_.stack_pointer = prepare_stack(bottom + context_.stack_bytes - colour++ % 64 * 320);
  if (__tsan_create_fiber != nullptr) context_.tsan_fiber = __tsan_create_fiber(0);
  context_.body = body;
  context_.argument = argument;
}

Fiber::~Fiber() {
  if (__tsan_destroy_fiber != nullptr) __tsan_destroy_fiber(context_.tsan_fiber);
  // Frames of a kernel that was given up are still marked.
  if (__asan_unpoison_memory_region != nullptr) {
    __asan_unpoison_memory_region(context_.stack_bottom, context_.stack_bytes);
  }
  munmap(mapping_, kStackBytes);
}

void acquire(void* at) {
  if (__tsan_acquire != nullptr) __tsan_acquire(at);
}

void release(void* at) {
  if (__tsan_release != nullptr) __tsan_release(at);
}

void release_for(Context& fiber, Context& self, void* at) {
  if (__tsan_switch_to_fiber == nullptr) return;
  __tsan_switch_to_fiber(fiber.tsan_fiber, kNoSynchronisation);
  release(at);
  __tsan_switch_to_fiber(self.tsan_fiber, kNoSynchronisation);
}

}  // namespace squish::emulator
