#include "bench/timing.h"

#include <algorithm>
#include <chrono>

namespace squish::bench {
namespace {

constexpr int kTimedCallsATurn = 4;

double timed(const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  call();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

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
  for (int i = 0; i < warmup; ++i) {
    for (const auto& rival : rivals) rival();
  }
  std::vector<std::vector<double>> seconds(rivals.size());
  for (int done = 0; done < iterations; done += kTimedCallsATurn) {
    const int calls = std::min(kTimedCallsATurn, iterations - done);
    for (size_t r = 0; r < rivals.size(); ++r) {
      rivals[r]();
      for (int i = 0; i < calls; ++i) seconds[r].push_back(timed(rivals[r]));
    }
  }
  return seconds;
}

}  // namespace squish::bench
