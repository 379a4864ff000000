// squish-bench: how long nets take on the engine, without Python.
#include <cstdio>

#include "bench/arguments.h"
#include "bench/bench_options.h"
#include "bench/contest.h"
#include "bench/json_writer.h"

int main(int argc, char** argv) {
  using namespace squish::bench;
  return run_tool("squish-bench", [&] {
    const BenchOptions options = read_bench_options(argc, argv);
    if (options.nets.empty()) return 0;
    const ContestResult result = run_contest(options);
    std::fputs(contest_text(result, options).c_str(), stdout);
    if (!options.json.empty()) replace_file(options.json, contest_json(result, options));
    return 0;
  });
}
