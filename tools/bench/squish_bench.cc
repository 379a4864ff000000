// squish-bench: how long nets take on the engine, without Python.
#include <cstdio>

#include "bench/bench_options.h"
#include "bench/contest.h"
#include "common/arguments.h"
#include "replace_file.h"

int main(int argc, char** argv) {
  using namespace squish::bench;
  return squish::tools::run_tool("squish-bench", [&] {
    const BenchOptions options = read_bench_options(argc, argv);
    if (options.nets.empty()) return 0;
    const ContestResult result = run_contest(options);
    std::fputs(contest_text(result, options).c_str(), stdout);
    if (!options.json.empty()) {
      const std::string report = contest_json(result, options);
      squish::replace_file(options.json, report.data(), report.size());
    }
    return 0;
  });
}
