// Nets measured side by side: what squish-bench reports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/bench_options.h"
#include "bench/machine.h"
#include "bench/timing.h"
#include "squish/session.h"

namespace squish::bench {

// What one net is and how long it took.
struct NetResult {
  std::string path;
  size_t file_bytes = 0;
  int classes = 0;
  Shape input;
  std::string storage;                      // "f32", "i8", "f16"
  int64_t weights = 0, live_weights = 0;    // live: not zero
  int64_t clusters = 0, live_clusters = 0;  // 16x1
  int64_t macs = 0;                         // multiply-adds of an image's mathematics, as if dense
  int64_t macs_run = 0;                     // that the kernels do
  MemoryUse memory;
  std::vector<double> samples;  // seconds an image, one an iteration
  Summary seconds;              // of them
  std::vector<StepInfo> steps;  // with --profile, their seconds too

  double density() const;
  double cluster_density() const;
  double images_per_second() const { return 1 / seconds.median; }
  double flops() const { return flops_of(macs_run, seconds.min); }
  // The peak that its speed is compared with: of what is not computed in float32 none was measured, 0.
  double peak(double float_peak) const { return storage == "f32" ? float_peak : 0; }

  static double flops_of(int64_t macs, double seconds) { return 2 * static_cast<double>(macs) / seconds; }
};

struct ContestResult {
  Machine machine;
  std::string isa;        // "" on a device without one
  double core_flops = 0;  // the float32 peak of one core, measured beside the nets; 0: not measured, no ISA
  std::vector<NetResult> nets;
};

ContestResult run_contest(const BenchOptions& options);

// The same in words, and as JSON.
std::string contest_text(const ContestResult& result, const BenchOptions& options);
std::string contest_json(const ContestResult& result, const BenchOptions& options);

}  // namespace squish::bench
