// Random numbers that are the same on every machine: the standard's distributions are not.
#pragma once

#include <cstdint>
#include <iterator>
#include <random>

namespace squish::testing {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  // From `low` to `high`, both included.
  int between(int low, int high) {
    return low + static_cast<int>(engine_() % (static_cast<uint32_t>(high - low) + 1));
  }
  // From 0 to 1, 1 excluded.
  double unit() { return static_cast<double>(engine_()) * 0x1p-32; }
  bool chance(double probability) { return unit() < probability; }
  // From -magnitude to magnitude.
  float value(double magnitude = 1) { return static_cast<float>((2 * unit() - 1) * magnitude); }

  template <typename Container>
  const auto& pick(const Container& choices) {
    return choices[engine_() % std::size(choices)];
  }

 private:
  std::mt19937 engine_;
};

}  // namespace squish::testing
