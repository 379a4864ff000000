// The most multiply-adds a second that one core can do: what a kernel's speed is measured against. Measured, because
// no table knows the clock of the machine at hand.
//
// Included by fma_peak_*.cc, which are compiled with -m flags of their own: so nothing here but <stdint.h>, and no
// inline function, lest the copy that the linker keeps be one the CPU does not run.
#pragma once

#include <stdint.h>

namespace squish::bench {

// A loop of multiply-adds that do not wait for each other.
struct FmaLoop {
  const char* isa;
  int64_t flops_per_round;       // a multiply-add is two
  float (*run)(int64_t rounds);  // the result only keeps the compiler from leaving the loop out
};

extern const FmaLoop kScalarFmaLoop;
extern const FmaLoop kAvx2FmaLoop;
extern const FmaLoop kAvx512FmaLoop;
extern const FmaLoop kNeonFmaLoop;

// The loop of an instruction set that this CPU runs, as Session::isa() names it.
// Throws DeviceError where this build has none of that name.
const FmaLoop& fma_loop(const char* isa);

// A fraction of a millisecond of the loop on a core of today: short beside an inference, long beside the clock's
// resolution.
void run_fma_burst(const FmaLoop& loop);
int64_t fma_burst_flops(const FmaLoop& loop);

}  // namespace squish::bench
