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

 private:
  int64_t count_at_start_, bytes_at_start_;
};

}  // namespace squish::testing
