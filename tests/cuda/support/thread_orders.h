#pragma once

#include "emulator/scheduler.h"
#include "support/sanitizers.h"

namespace squish::testing {

// A correct kernel computes the same in each. ThreadSanitizer sees the same races in any, and takes its time.
#ifdef SQUISH_UNDER_TSAN
inline constexpr emulator::Order kThreadOrders[] = {emulator::Order::kRandom};
#else
inline constexpr emulator::Order kThreadOrders[] = {emulator::Order::kForward, emulator::Order::kReverse,
                                                    emulator::Order::kRandom};
#endif

}  // namespace squish::testing
