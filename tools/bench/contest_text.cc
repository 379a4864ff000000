#include "bench/contest.h"
#include "bench/text_table.h"

namespace squish::bench {
namespace {

std::string plural(int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string millions(int64_t count) { return fixed(1e-6 * static_cast<double>(count), 1); }
std::string milliseconds(double seconds) { return fixed(1e3 * seconds, 3); }
std::string giga(double flops) { return fixed(1e-9 * flops, 1); }

std::string share_of_peak(double flops, double peak) { return peak > 0 ? percent(flops / peak) : "-"; }

std::string head(const ContestResult& result, const BenchOptions& options) {
  const SessionOptions& session = options.session;
  std::string text = std::string("squish-bench ") + version() + "\n" + result.machine.cpu + ", " +
                     plural(result.machine.logical_cpus, "logical CPU") + "; " + result.machine.compiler +
                     "\n" + session.device + (result.isa.empty() ? "" : " " + result.isa) +
                     (session.winograd ? "" : " without Winograd") + ", " +
                     plural(session.threads, "thread") + "; batch " + std::to_string(options.batch) + " " +
                     format_name(options.format) + "; " + plural(options.iterations, "iteration") +
                     " after " + std::to_string(options.warmup) + "\n";
  if (result.core_flops > 0) text += "peak of a core: " + giga(result.core_flops) + " GFLOP/s\n";
  return text;
}

std::string nets_table(const ContestResult& result, double peak) {
  std::vector<Row> rows{{"net", "classes", "input", "storage", "density", "clusters", "file kB", "memory kB",
                         "MMACs", "run", "min ms", "median", "p90", "images/s", "GFLOP/s", "of peak",
                         "speed"}};
  const double first = result.nets[0].seconds.min;
  for (const NetResult& net : result.nets) {
    rows.push_back({net.path, std::to_string(net.classes),
                    std::to_string(net.input.height) + "x" + std::to_string(net.input.width), net.storage,
                    percent(net.density()), percent(net.cluster_density()),
                    fixed(1e-3 * static_cast<double>(net.file_bytes), 1),
                    fixed(1e-3 * static_cast<double>(net.memory.total()), 0), millions(net.macs),
                    millions(net.macs_run), milliseconds(net.seconds.min), milliseconds(net.seconds.median),
                    milliseconds(net.seconds.p90), fixed(net.images_per_second(), 1), giga(net.flops()),
                    share_of_peak(net.flops(), net.peak(peak)), fixed(first / net.seconds.min, 2) + "x"});
  }
  return text_table(rows, 1);
}

std::string steps_table(const NetResult& net, double peak) {
  std::vector<Row> rows{
      {"layer", "kernel", "why", "density", "MMACs", "run", "us", "share", "GFLOP/s", "of peak"}};
  double total = 0;
  for (const StepInfo& step : net.steps) total += step.seconds;
  for (const StepInfo& step : net.steps) {
    const bool computes = step.macs_run > 0 && step.seconds > 0;
    const double flops = computes ? NetResult::flops_of(step.macs_run, step.seconds) : 0;
    rows.push_back({step.layer, step.kernel, step.why, percent(step.density), millions(step.macs),
                    millions(step.macs_run), fixed(1e6 * step.seconds, 1),
                    total > 0 ? percent(step.seconds / total) : "-", computes ? giga(flops) : "-",
                    computes ? share_of_peak(flops, peak) : "-"});
  }
  rows.push_back({"all", "", "", percent(net.density()), millions(net.macs), millions(net.macs_run),
                  fixed(1e6 * total, 1), "", total > 0 ? giga(NetResult::flops_of(net.macs_run, total)) : "-",
                  total > 0 ? share_of_peak(NetResult::flops_of(net.macs_run, total), peak) : "-"});
  return text_table(rows, 3);
}

constexpr const char* kLegend =
    "Times are an image's. density: weights that are not zero; clusters: 16x1 clusters with one such "
    "weight.\n"
    "memory: of the file, weights as kernels read them, activations and scratch, of all threads.\n"
    "MMACs: millions of multiply-adds of the dense mathematics; run: that the kernels do, padding included.\n"
    "GFLOP/s: of what runs, at the least time; of peak: of the core's in f32, times threads; speed: the "
    "first "
    "net's\n"
    "least time over this one's.\n";

}  // namespace

std::string contest_text(const ContestResult& result, const BenchOptions& options) {
  const double peak = result.core_flops * options.session.threads;
  std::string text = head(result, options) + "\n" + nets_table(result, peak) + "\n" + kLegend;
  if (!options.profile) return text;
  for (const NetResult& net : result.nets) {
    text += "\n" + net.path + ", each step at its least time:\n" + steps_table(net, net.peak(peak));
  }
  return text;
}

}  // namespace squish::bench
