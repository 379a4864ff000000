#pragma once

#include "emulator/scheduler.h"

namespace squish::testing {

// A correct kernel computes the same in each.
inline constexpr emulator::Order kThreadOrders[] = {emulator::Order::kForward, emulator::Order::kReverse,
                                                    emulator::Order::kRandom};

}  // namespace squish::testing
