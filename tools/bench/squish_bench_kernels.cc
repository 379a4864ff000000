// squish-bench-kernels: every convolution kernel of every instruction set on shapes from a file.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/conv_shapes.h"
#include "bench/conv_trial.h"
#include "bench/fma_peak.h"
#include "bench/json_writer.h"
#include "bench/machine.h"
#include "bench/report.h"
#include "bench/text_table.h"
#include "bench/timing.h"
#include "common/arguments.h"
#include "cpu/dispatch.h"
#include "squish/session.h"

namespace squish::bench {
namespace {

constexpr const char* kAbout =
    "Measures each kernel of float convolutions on the shapes of a file, at densities of 16x1 clusters, on "
    "one thread. "
    "A kernel\n"
    "whose result is out of the bounds of a plain loop in double precision ends the program. In turn with "
    "each\n"
    "shape's kernels runs a loop of multiply-adds, whose best speed is the core's peak.";

struct Options {
  std::string shapes;
  std::vector<double> densities = {1, 0.33, 0.15};
  std::vector<std::string> isas;
  int warmup = 3, iterations = 50;
  std::string json;
};

struct Measurement {
  std::string isa, shape, kernel;
  double density = 1;
  int64_t macs_dense = 0, macs_run = 0;
  Summary seconds;
  double core_flops = 0;

  double flops() const { return 2 * static_cast<double>(macs_run) / seconds.min; }
};

// "1,0.33,0.15"
std::vector<double> read_densities(const std::string& text) {
  std::vector<double> densities;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    char* rest = nullptr;
    const double density = std::strtod(word.c_str(), &rest);
    if (word.empty() || *rest != '\0' || !(density >= 0 && density <= 1)) {
      throw tools::UsageError("got '" + word + "', wanted numbers from 0 to 1 with commas between them");
    }
    densities.push_back(density);
    begin = end + 1;
  }
  return densities;
}

// After --help or --version `shapes` is empty.
Options read_options(int argc, const char* const* argv) {
  Options options;
  bool help = false, show_version = false;
  std::string isa;
  tools::Arguments arguments("squish-bench-kernels SHAPES.txt [options]", kAbout);
  arguments.add("--densities", "D,...", "shares of living clusters [1,0.33,0.15]",
                [&](const std::string& text) { options.densities = read_densities(text); });
  arguments.add_text("--isa", "NAME", "avx512, avx2, neon or scalar [all that run here]", &isa);
  arguments.add_int("--warmup", 0, "calls before the first that is timed", &options.warmup);
  arguments.add_int("--iters", 1, "calls that are timed", &options.iterations);
  arguments.add_text("--json", "FILE", "write everything that was measured there; -: print only that",
                     &options.json);
  arguments.add_flag("--version", "print the version", &show_version);
  arguments.add_flag("--help", "print this", &help);
  const std::vector<std::string> operands = arguments.parse(argc, argv);
  if (help) std::fputs(arguments.help().c_str(), stdout);
  if (show_version && !help) std::printf("squish-bench-kernels %s\n", version());
  if (help || show_version) return options;
  if (operands.size() != 1) {
    throw tools::UsageError("got " + std::to_string(operands.size()) +
                            " files, wanted one: a text file of shapes");
  }
  options.shapes = operands[0];
  options.isas = isa.empty() ? available_isas() : std::vector<std::string>{isa};
  return options;
}

struct NamedTrial {
  const char* kernel;
  std::unique_ptr<ConvTrial> trial;
};

// The kernels that differ for this problem: one block at a time; pairs of blocks where some have the same clusters;
// Winograd's tiles where the planner would take them.
std::vector<NamedTrial> trials_of(const ConvProblem& problem, const KernelTable& kernels) {
  std::vector<NamedTrial> trials;
  trials.push_back({"cluster_16x1", std::make_unique<ConvTrial>(problem, kernels, PackOptions{1, false})});
  auto pairs = std::make_unique<ConvTrial>(problem, kernels, PackOptions{kernels.max_group, false});
  if (pairs->has_pairs()) trials.push_back({"cluster_2x16x1", std::move(pairs)});
  auto tiles = std::make_unique<ConvTrial>(problem, kernels, PackOptions{kernels.max_group, true});
  if (tiles->has_tiles()) trials.push_back({"winograd_2x2", std::move(tiles)});
  return trials;
}

void measure(const ConvProblem& problem, double density, const Options& options, const std::string& isa,
             std::vector<Measurement>& out) {
  const FmaLoop& loop = fma_loop(isa.c_str());
  const std::vector<NamedTrial> trials = trials_of(problem, choose_kernels(isa));
  std::vector<std::function<void()>> rivals{[&] { run_fma_burst(loop); }};
  for (const NamedTrial& named : trials) rivals.emplace_back([trial = named.trial.get()] { trial->run(); });
  const auto seconds = time_in_turn(rivals, options.warmup, options.iterations);
  const double core_flops = static_cast<double>(fma_burst_flops(loop)) / summarise(seconds[0]).min;
  for (size_t k = 0; k < trials.size(); ++k) {
    out.push_back({isa, problem.shape().name, trials[k].kernel, density, problem.shape().macs(),
                   trials[k].trial->macs_run(), summarise(seconds[k + 1]), core_flops});
  }
}

std::string text_of(const std::vector<Measurement>& measurements, const Machine& machine) {
  std::vector<Row> rows{
      {"shape", "isa", "kernel", "density", "MMACs", "run", "min us", "median", "GFLOP/s", "of peak"}};
  for (const Measurement& m : measurements) {
    rows.push_back(
        {m.shape, m.isa, m.kernel, percent(m.density), fixed(1e-6 * static_cast<double>(m.macs_dense), 2),
         fixed(1e-6 * static_cast<double>(m.macs_run), 2), fixed(1e6 * m.seconds.min, 1),
         fixed(1e6 * m.seconds.median, 1), fixed(1e-9 * m.flops(), 1), percent(m.flops() / m.core_flops)});
  }
  return std::string("squish-bench-kernels ") + version() + "\n" + machine.cpu + ", " + machine.compiler +
         ", 1 thread\n\n" + text_table(rows, 3);
}

std::string json_of(const std::vector<Measurement>& measurements, const Machine& machine) {
  JsonWriter json;
  json.begin_object();
  json.key("tool").value("squish-bench-kernels");
  json.key("version").value(version());
  json.key("cpu").value(machine.cpu);
  json.key("compiler").value(machine.compiler);
  json.key("measurements").begin_array();
  for (const Measurement& m : measurements) {
    json.begin_object();
    json.key("shape").value(m.shape);
    json.key("isa").value(m.isa);
    json.key("kernel").value(m.kernel);
    json.key("density").value(m.density);
    json.key("macs").value(m.macs_dense);
    json.key("macs_run").value(m.macs_run);
    json.key("seconds").begin_object();
    json.key("min").value(m.seconds.min);
    json.key("median").value(m.seconds.median);
    json.key("p90").value(m.seconds.p90);
    json.end_object();
    json.key("flops").value(m.flops());
    json.key("core_flops").value(m.core_flops);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.text();
}

int run(int argc, const char* const* argv) {
  const Options options = read_options(argc, argv);
  if (options.shapes.empty()) return 0;
  std::vector<Measurement> measurements;
  for (const ConvShape& shape : read_conv_shapes(options.shapes)) {
    for (const double density : options.densities) {
      const ConvProblem problem(shape, density);
      for (const std::string& isa : options.isas) measure(problem, density, options, isa, measurements);
    }
  }
  const Machine machine = this_machine();
  report(text_of(measurements, machine), json_of(measurements, machine), options.json);
  return 0;
}

}  // namespace
}  // namespace squish::bench

int main(int argc, char** argv) {
  using namespace squish::bench;
  return squish::tools::run_tool("squish-bench-kernels", [&] { return run(argc, argv); });
}
