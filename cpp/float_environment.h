// The rounding and the denormal values that results are made with.
#pragma once

#include <cstdint>

namespace squish {

// While it lives this thread rounds to nearest, keeps denormal values and raises no signals, as every program begins and
// as threads that are started meanwhile go on: a caller who works otherwise (torch.set_flush_denormal(True)) gets the
// same bits as all others, and has it back afterwards. Compilers know nothing of it: arithmetic must be in functions that
// are called meanwhile, on values in memory. (NEON of 32-bit Arm flushes denormal values whatever it is told.)
class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment();
  ~DefaultFloatEnvironment();
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
  uint64_t saved_;
};

}  // namespace squish
