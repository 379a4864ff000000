#pragma once

#include <iterator>

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

// One of them for each turn.
inline emulator::Order thread_order(size_t turn) { return kThreadOrders[turn % std::size(kThreadOrders)]; }

}  // namespace squish::testing
