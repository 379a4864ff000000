#include "allocations.h"

#if defined(__APPLE__)
#include <malloc/malloc.h>
#else
#include <malloc.h>
#endif

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

std::atomic<int64_t> allocation_count{0}, allocation_bytes{0}, bytes_held{0}, last_allocation{kNoLimit};

int64_t size_of(void* memory) {
#if defined(__APPLE__)
  return static_cast<int64_t>(malloc_size(memory));
#else
  return static_cast<int64_t>(malloc_usable_size(memory));
#endif
}

void* allocate(size_t bytes, size_t alignment) {
  if (++allocation_count > last_allocation) throw std::bad_alloc();
  allocation_bytes += static_cast<int64_t>(bytes);
  void* memory = nullptr;
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) {
    memory = std::malloc(bytes != 0 ? bytes : 1);
  } else if (posix_memalign(&memory, alignment, bytes) != 0) {
    memory = nullptr;
  }
  if (memory == nullptr) throw std::bad_alloc();
  bytes_held += size_of(memory);
  return memory;
}

void release(void* memory) {
  if (memory != nullptr) bytes_held -= size_of(memory);
  std::free(memory);
}

}  // namespace

// The array forms of the standard library call these. So does its nothrow form, but not that of the sanitizers,
// whose memory could then not be freed here.
void* operator new(size_t bytes) { return allocate(bytes, 1); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return allocate(bytes, 1);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { release(memory); }

namespace squish::testing {

AllocationCounter::AllocationCounter()
    : count_at_start_(allocation_count.load()),
      bytes_at_start_(allocation_bytes.load()),
      held_at_start_(bytes_held.load()) {}

int64_t AllocationCounter::count() const { return allocation_count.load() - count_at_start_; }
int64_t AllocationCounter::bytes() const { return allocation_bytes.load() - bytes_at_start_; }

int64_t AllocationCounter::held_bytes() const { return bytes_held.load() - held_at_start_; }

AllocationLimit::AllocationLimit(int64_t count) { last_allocation = allocation_count + count; }
AllocationLimit::~AllocationLimit() { last_allocation = kNoLimit; }

}  // namespace squish::testing
