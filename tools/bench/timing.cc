#include "bench/timing.h"

#include <algorithm>
#include <chrono>

namespace squish::bench {
namespace {

double quantile(const std::vector<double>& sorted, double fraction) {
  const double place = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Summary summarise(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return {samples.front(), quantile(samples, 0.5), quantile(samples, 0.9)};
}

std::vector<std::vector<double>> time_in_turn(const std::vector<std::function<void()>>& rivals, int warmup,
                                              int iterations) {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < warmup; ++i) {
    for (const auto& rival : rivals) rival();
  }
  std::vector<std::vector<double>> seconds(rivals.size());
  for (int i = 0; i < iterations; ++i) {
    for (size_t r = 0; r < rivals.size(); ++r) {
      const Clock::time_point start = Clock::now();
      rivals[r]();
      seconds[r].push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
  return seconds;
}

}  // namespace squish::bench
