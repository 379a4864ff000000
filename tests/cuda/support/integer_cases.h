// What tests of the kernels of integer arithmetic share.
#pragma once

#include "support/held_planes.h"
#include "support/thread_orders.h"

namespace squish::testing {

inline constexpr int kIntegerImages = 2;
inline const cuda::Held kInFloats = held_as(0, 0);

// Where results go: bytes, floats of an activation, or the caller's floats.
enum class Results { kBytes, kFloats, kCallers };
inline constexpr Results kAllResults[] = {Results::kBytes, Results::kFloats, Results::kCallers};

template <typename Test>
void in_every_order(const Test& test, int workers = 1) {
  for (emulator::Order order : kThreadOrders) {
    const emulator::ScopedOptions options({order, workers});
    test();
  }
}

}  // namespace squish::testing
