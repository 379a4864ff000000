// squish-bench: how long nets take on the engine, without Python.
#include "bench/bench_options.h"
#include "bench/contest.h"
#include "bench/report.h"
#include "common/arguments.h"

int main(int argc, char** argv) {
  using namespace squish::bench;
  return squish::tools::run_tool("squish-bench", [&] {
    const BenchOptions options = read_bench_options(argc, argv);
    if (options.nets.empty()) return 0;
    const ContestResult result = run_contest(options);
    report(contest_text(result, options), contest_json(result, options), options.json);
    return 0;
  });
}
