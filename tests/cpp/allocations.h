// Counts what operator new is asked for, in the whole test program.
#pragma once

#include <cstdint>

namespace squish::testing {

// Counts from its construction on, all threads.
class AllocationCounter {
 public:
  AllocationCounter();
  int64_t count() const;
  int64_t bytes() const;
  // Those that were not freed since; what was allocated before and is freed counts against them.
  int64_t held_bytes() const;

 private:
  int64_t count_at_start_, bytes_at_start_, held_at_start_;
};

// While it lives, all allocations of the whole program but the first `count` throw std::bad_alloc.
class AllocationLimit {
 public:
  explicit AllocationLimit(int64_t count);
  ~AllocationLimit();
  AllocationLimit(const AllocationLimit&) = delete;
  AllocationLimit& operator=(const AllocationLimit&) = delete;
};

}  // namespace squish::testing
