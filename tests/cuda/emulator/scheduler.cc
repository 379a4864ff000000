// Built without -fsanitize=thread, which would take what the scheduler does on behalf of two CUDA threads for a race
// between them. For the same reason what fibers reach keeps to plain arrays: of a template the linker may take a copy
// that is instrumented.
#include "emulator/scheduler.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/fiber.h"

#define SQUISH_SANITIZER_CALL extern "C" __attribute__((weak))
SQUISH_SANITIZER_CALL void __asan_poison_memory_region(const volatile void*, size_t);
SQUISH_SANITIZER_CALL void __asan_unpoison_memory_region(const volatile void*, size_t);

namespace squish::emulator {
namespace {

constexpr unsigned kMaxThreads = 1024, kWarp = 32, kMaxArrays = 32, kMaxGridYz = 65535;
constexpr size_t kRedZone = 64;  // bytes around each shared array, which also begins at a multiple of it
constexpr size_t kArenaBytes = kSharedBytes + (kMaxArrays + 1) * 2 * kRedZone;

Options options;

std::string place(const Site& site) { return std::string(site.file) + ":" + std::to_string(site.line); }

std::string hex(unsigned mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

bool same_site(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

enum class State : uint8_t { kReady, kAtBarrier, kInWarp, kDone };

struct Thread {
  State state = State::kReady;
  Site site{};  // where it waits
  std::unique_ptr<Fiber> fiber;
  // Of the warp operation that it takes part in.
  WarpOp op{};
  unsigned mask = 0, source = 0;
  uint64_t value = 0, result = 0;
  WarpFunction function = nullptr;  // of kCompute
};

// Of the lanes that meet, for ThreadSanitizer.
bool orders_memory(WarpOp op) { return op != WarpOp::kCompute; }

// Addresses that ThreadSanitizer's orderings go by.
struct Clocks {
  char begin, end, barrier[2], warp[kMaxThreads / kWarp], thread[kMaxThreads];
};

void run_thread(void*);

// Runs blocks of one launch, one after the other.
class Worker {
 public:
  Worker(const LaunchShape& shape, void (*kernel)(const void*), const void* task, uint32_t seed)
      : shape_(shape),
        kernel_(kernel),
        task_(task),
        random_(seed),
        order_(shape.threads),
        threads_(new Thread[shape.threads]),
        clocks_(new Clocks{}),
        arena_(new unsigned char[kArenaBytes + kRedZone]) {
    const size_t misaligned = reinterpret_cast<size_t>(arena_.get()) % kRedZone;
    shared_ = arena_.get() + (kRedZone - misaligned) % kRedZone;
    std::iota(order_.begin(), order_.end(), 0u);
    if (options.order == Order::kReverse) std::reverse(order_.begin(), order_.end());
    for (unsigned t = 0; t < shape.threads; ++t) threads_[t].fiber = take_fiber();
  }
  ~Worker() {
    unpoison(shared_, kArenaBytes);
    // Fibers of a block that failed stay in the middle of it: what they did comes before whatever is done next.
    for (unsigned t = 0; t < shape_.threads; ++t) {
      if (threads_[t].state == State::kDone) {
        spare_fibers().push_back(std::move(threads_[t].fiber));
      } else {
        release_for(threads_[t].fiber->context(), scheduler_, &clocks_->end);
      }
    }
    acquire(&clocks_->end);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  static Worker& current() { return *current_; }

  void run_block(const Extent& index) {
    current_ = this;
    blockIdx = {index.x, index.y, index.z};
    blockDim = {shape_.threads, 1, 1};
    gridDim = {shape_.grid.x, shape_.grid.y, shape_.grid.z};
    reset_shared();
    for (unsigned t = 0; t < shape_.threads; ++t) threads_[t].state = State::kReady;
    release(&clocks_->begin);
    while (!run_to_barrier()) open_barrier();
    acquire(&clocks_->end);
  }

  // Called on fibers.

  void thread_body() {
    acquire(&clocks_->begin);
    kernel_(task_);
    release(&clocks_->end);
    leave(State::kDone);
  }

  void barrier(Site site) {
    char* const clock = &clocks_->barrier[barriers_ & 1];
    me().site = site;
    release(clock);
    leave(State::kAtBarrier);
    acquire(clock);
  }

  uint64_t meet(WarpOp op, unsigned mask, uint64_t value, unsigned source, Site site) {
    Thread& self = me();
    const unsigned lane = running_ % kWarp, first = running_ - lane;
    self.site = site;
    self.op = op;
    self.mask = mask;
    self.value = value;
    self.source = source;
    if ((mask >> lane & 1) == 0) {
      describe_failure(site, "called by lane " + std::to_string(lane) + ", not in its mask " + hex(mask));
      give_up();
    }
    if (orders_memory(op)) release(&clocks_->warp[first / kWarp]);
    self.state = State::kInWarp;
    if (all_meet(first, self)) {
      if (orders_memory(op)) acquire(&clocks_->warp[first / kWarp]);
      exchange(first, self);
    } else {
      leave(State::kInWarp);
    }
    if (orders_memory(op)) acquire(&clocks_->thread[running_]);
    return me().result;
  }

  void compute(WarpFunction function, void* lane, Site site) {
    me().function = function;
    meet(WarpOp::kCompute, ~0u, reinterpret_cast<uintptr_t>(lane), 0, site);
  }

  void* array(const void* key, size_t bytes) {
    for (unsigned k = 0; k < arrays_; ++k) {
      if (keys_[k] == key) return begins_[k];
    }
    if (key == nullptr) bytes = shape_.dynamic_bytes;
    shared_bytes_ += bytes;
    if (arrays_ == kMaxArrays || shared_bytes_ > kSharedBytes) {
      describe_failure({"shared memory", 0}, "got " + std::to_string(shared_bytes_) +
                                                 " bytes a block, at most " + std::to_string(kSharedBytes) +
                                                 " in " + std::to_string(kMaxArrays) + " arrays");
      give_up();
    }
    unsigned char* const begin = next_array_;
    unpoison(begin, bytes);
    next_array_ += (bytes + kRedZone - 1) / kRedZone * kRedZone + kRedZone;
    keys_[arrays_] = key;
    begins_[arrays_++] = begin;
    return begin;
  }

 private:
  // Kept for the next launch of this thread: making one takes system calls.
  static std::vector<std::unique_ptr<Fiber>>& spare_fibers() {
    thread_local std::vector<std::unique_ptr<Fiber>> spare;
    return spare;
  }
  static std::unique_ptr<Fiber> take_fiber() {
    auto& spare = spare_fibers();
    if (spare.empty()) return std::make_unique<Fiber>(&run_thread, nullptr);
    auto fiber = std::move(spare.back());
    spare.pop_back();
    return fiber;
  }

  static void poison(void* at, size_t bytes) {
    if (__asan_poison_memory_region != nullptr) __asan_poison_memory_region(at, bytes);
  }
  static void unpoison(void* at, size_t bytes) {
    if (__asan_unpoison_memory_region != nullptr) __asan_unpoison_memory_region(at, bytes);
  }

  void reset_shared() {
    unpoison(shared_, kArenaBytes);
    std::memset(shared_, 0xFF, kArenaBytes);
    poison(shared_, kArenaBytes);
    arrays_ = 0;
    shared_bytes_ = 0;
    next_array_ = shared_ + kRedZone;
  }

  Thread& me() { return threads_[running_]; }

  // On a fiber: back to the scheduler, until it is this thread's turn again.
  void leave(State state) {
    me().state = state;
    switch_context(me().fiber->context(), scheduler_);
  }

  // On a fiber, behind describe_failure(): it is not resumed, so nothing on its stack may own memory.
  [[noreturn]] void give_up() {
    release(&clocks_->end);
    leave(me().state);
    std::terminate();
  }
  void describe_failure(Site site, const std::string& what) {
    failure_ = place(site) + ": " + what + " (block " + std::to_string(blockIdx.x) + "," +
               std::to_string(blockIdx.y) + "," + std::to_string(blockIdx.z) + ")";
  }

  void resume(unsigned t) {
    running_ = t;
    threadIdx = {t, 0, 0};
    switch_context(scheduler_, threads_[t].fiber->context());
    if (failure_.empty()) return;
    acquire(&clocks_->end);
    throw KernelError(failure_);
  }

  // Until every thread has returned (true) or waits at a barrier.
  bool run_to_barrier() {
    if (options.order == Order::kRandom) std::shuffle(order_.begin(), order_.end(), random_);
    for (bool ran = true; ran;) {
      ran = false;
      for (unsigned t : order_) {
        if (threads_[t].state != State::kReady) continue;
        resume(t);
        ran = true;
      }
    }
    return std::all_of(order_.begin(), order_.end(),
                       [&](unsigned t) { return threads_[t].state == State::kDone; });
  }

  void open_barrier() {
    const Thread* waiting = nullptr;
    for (unsigned t = 0; t < shape_.threads; ++t) {
      if (threads_[t].state == State::kInWarp) throw_deadlock(t);
      if (threads_[t].state == State::kAtBarrier) waiting = &threads_[t];
    }
    for (unsigned t = 0; t < shape_.threads; ++t) {
      const Thread& other = threads_[t];
      if (other.state == State::kAtBarrier && same_site(other.site, waiting->site)) continue;
      describe_failure(waiting->site, "divergent barrier: thread " + std::to_string(t) +
                                          (other.state == State::kDone ? " has returned"
                                                                       : " waits at " + place(other.site)));
      throw KernelError(failure_);
    }
    ++barriers_;
    for (unsigned t = 0; t < shape_.threads; ++t) threads_[t].state = State::kReady;
  }

  // Lanes that wait for others that will never come.
  void throw_deadlock(unsigned t) {
    const unsigned first = t / kWarp * kWarp, mask = threads_[t].mask;
    unsigned missing = mask;
    for (unsigned l = 0; l < kWarp && first + l < shape_.threads; ++l) {
      const Thread& other = threads_[first + l];
      if (other.state == State::kInWarp && other.mask == mask) missing &= ~(1u << l);
    }
    describe_failure(threads_[t].site, "warp operation of mask " + hex(mask) + " waits for lanes " +
                                           hex(missing) + ", which do not come to it");
    throw KernelError(failure_);
  }

  bool all_meet(unsigned first, const Thread& self) {
    for (unsigned l = 0; l < kWarp; ++l) {
      if ((self.mask >> l & 1) == 0) continue;
      if (first + l >= shape_.threads) return false;
      const Thread& other = threads_[first + l];
      if (other.state != State::kInWarp || other.mask != self.mask) return false;
    }
    for (unsigned l = 0; l < kWarp; ++l) {
      if ((self.mask >> l & 1) == 0) continue;
      const Thread& other = threads_[first + l];
      const bool same_op =
          other.op == self.op && (self.op != WarpOp::kCompute || other.function == self.function);
      if (!same_op || !same_site(other.site, self.site)) {
        describe_failure(self.site, "lanes of one warp operation are at different places, lane " +
                                        std::to_string(l) + " at " + place(other.site));
        give_up();
      }
    }
    return true;
  }

  // By the lane that came last.
  void exchange(unsigned first, const Thread& self) {
    const unsigned mask = self.mask;
    if (self.op == WarpOp::kCompute) {
      void* lanes[kWarp];
      for (unsigned l = 0; l < kWarp; ++l) lanes[l] = reinterpret_cast<void*>(threads_[first + l].value);
      self.function(lanes);
    }
    unsigned ballot = 0;
    for (unsigned l = 0; l < kWarp; ++l) {
      if ((mask >> l & 1) != 0 && threads_[first + l].value != 0) ballot |= 1u << l;
    }
    for (unsigned l = 0; l < kWarp; ++l) {
      if ((mask >> l & 1) == 0) continue;
      Thread& thread = threads_[first + l];
      if (self.op == WarpOp::kShuffle && (mask >> thread.source & 1) == 0) {
        describe_failure(thread.site, "shuffle from lane " + std::to_string(thread.source) +
                                          ", not in its mask " + hex(mask));
        give_up();
      }
      thread.result = self.op == WarpOp::kShuffle ? threads_[first + thread.source].value : ballot;
    }
    for (unsigned l = 0; l < kWarp; ++l) {
      if ((mask >> l & 1) == 0) continue;
      threads_[first + l].state = State::kReady;
      if (orders_memory(self.op)) release(&clocks_->thread[first + l]);
    }
  }

  static thread_local Worker* current_;

  LaunchShape shape_;
  void (*kernel_)(const void*);
  const void* task_;
  std::mt19937 random_;
  std::vector<unsigned> order_;
  std::unique_ptr<Thread[]> threads_;
  std::unique_ptr<Clocks> clocks_;
  std::unique_ptr<unsigned char[]> arena_;
  unsigned char *shared_ = nullptr, *next_array_ = nullptr;
  const void* keys_[kMaxArrays] = {};
  unsigned char* begins_[kMaxArrays] = {};
  unsigned arrays_ = 0;
  size_t shared_bytes_ = 0;
  Context scheduler_ = this_thread();
  unsigned running_ = 0;
  unsigned barriers_ = 0;
  std::string failure_;
};

thread_local Worker* Worker::current_ = nullptr;

void run_thread(void*) {
  for (;;) Worker::current().thread_body();
}

void check(const LaunchShape& shape) {
  if (shape.threads == 0 || shape.threads > kMaxThreads || shape.grid.count() == 0 ||
      shape.grid.y > kMaxGridYz || shape.grid.z > kMaxGridYz || shape.dynamic_bytes > kSharedBytes) {
    throw KernelError("launch: got a grid of " + std::to_string(shape.grid.x) + "x" +
                      std::to_string(shape.grid.y) + "x" + std::to_string(shape.grid.z) + " blocks of " +
                      std::to_string(shape.threads) + " threads with " + std::to_string(shape.dynamic_bytes) +
                      " bytes of dynamic shared memory");
  }
}

std::vector<size_t> block_order(size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  if (options.order == Order::kReverse) std::reverse(order.begin(), order.end());
  if (options.order == Order::kRandom) std::shuffle(order.begin(), order.end(), std::mt19937(1));
  return order;
}

}  // namespace

ScopedOptions::ScopedOptions(const Options& o) : before_(options) { options = o; }
ScopedOptions::~ScopedOptions() { options = before_; }

void run_blocks(const LaunchShape& shape, void (*kernel)(const void*), const void* task) {
  check(shape);
  const std::vector<size_t> order = block_order(shape.grid.count());
  std::mutex mutex;
  std::exception_ptr error;
  const auto work = [&](size_t w) {
    try {
      Worker worker(shape, kernel, task, static_cast<uint32_t>(w));
      for (size_t k = w; k < order.size(); k += static_cast<size_t>(options.workers)) {
        const size_t b = order[k], row = b / shape.grid.x;
        worker.run_block({static_cast<unsigned>(b % shape.grid.x), static_cast<unsigned>(row % shape.grid.y),
                          static_cast<unsigned>(row / shape.grid.y)});
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      error = std::current_exception();
    }
  };
  if (options.workers == 1) {
    work(0);
  } else {
    std::vector<std::thread> threads;
    for (int w = 0; w < options.workers; ++w) threads.emplace_back(work, static_cast<size_t>(w));
    for (std::thread& thread : threads) thread.join();
  }
  if (error) std::rethrow_exception(error);
}

void wait_at_barrier(Site site) { Worker::current().barrier(site); }

uint64_t meet_in_warp(WarpOp op, unsigned mask, uint64_t value, unsigned source_lane, Site site) {
  return Worker::current().meet(op, mask, value, source_lane, site);
}

void compute_in_warp(WarpFunction function, void* lane, Site site) {
  Worker::current().compute(function, lane, site);
}

void* shared_array(const void* key, size_t bytes) { return Worker::current().array(key, bytes); }

}  // namespace squish::emulator
