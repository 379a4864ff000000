#include "cuda/tune.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "cuda/candidates.h"

namespace squish::cuda {
namespace {

constexpr int kLaunches = 8;  // of one op in a recording: what a recording itself costs is shared by them
constexpr double kWarmSeconds = 0.03;  // after which the device's clocks have risen
constexpr int kMostWarmRounds = 1000;
constexpr double kTurnSeconds = 150e-6;  // of replays that are timed together: far more than the clock's step
constexpr int kMostReplays = 16;
constexpr int kTurns = 3;          // of which the least counts
constexpr double kHopeless = 1.5;  // times the best so far: not worth a second look

// Of a Fire's or convolution's weights in any blueprint of a net.
using OpKey = std::pair<const ConvDescription*, const ConvDescription*>;
using Choices = std::map<OpKey, OpChoice>;

OpKey key_of(const Op& op) { return {op.squeeze, op.convs[0]}; }

// A blueprint on the device, that can be run: on zeros, as no kernel's time depends on values.
class Trial {
 public:
  Trial(const Bench& bench, const Blueprint& blueprint)
      : runtime_(bench.runtime),
        arena_(blueprint, bench.arena(Arena::bytes(blueprint))),
        taps_(bench.runtime, blueprint, bench.packs),
        program_(bench.runtime, blueprint, arena_, bench.weights, taps_, bench.norm),
        ends_{PixelFormat::kF32Nchw, arena_.images, arena_.output, arena_.not_finite} {}

  std::unique_ptr<Recording> record_op(size_t op) const {
    return runtime_.record([&](Stream stream) {
      for (int i = 0; i < kLaunches; ++i) program_.launch(op + 1, ends_, stream);
    });
  }
  std::unique_ptr<Recording> record_net() const {
    return runtime_.record([&](Stream stream) {
      for (size_t step = 0; step < program_.steps(); ++step) program_.launch(step, ends_, stream);
    });
  }

 private:
  Runtime& runtime_;
  Arena arena_;
  DeviceTaps taps_;
  Program program_;
  Ends ends_;
};

int replays_in(double seconds, double replay) {
  return static_cast<int>(std::clamp(seconds / std::max(replay, 1e-9), 1.0, double{kMostReplays}));
}

// Seconds that one launch takes among others of its op.
double time_op(Runtime& runtime, Recording& recording, double best) {
  const double first = runtime.seconds(recording, 1);
  double least = first;
  const int replays = replays_in(kTurnSeconds, first);
  for (int turn = 0; turn < kTurns && first < kHopeless * best * kLaunches; ++turn)
    least = std::min(least, runtime.seconds(recording, replays) / replays);
  return least / kLaunches;
}

void warm_up(const Bench& bench, const Blueprint& blueprint) {
  const Trial trial(bench, blueprint);
  const auto recording = trial.record_net();
  double spent = 0;
  for (int round = 0; round < kMostWarmRounds && spent < kWarmSeconds; ++round)
    spent += bench.runtime.seconds(*recording, kMostReplays);
}

// Adds the fastest way of each op of this blueprint that is not among them yet.
void add_fastest(const Bench& bench, Blueprint blueprint, Choices* fastest) {
  const size_t ops = blueprint.ops.size();
  std::vector<std::vector<OpChoice>> ways(ops);
  size_t most = 0;
  for (size_t k = 0; k < ops; ++k) {
    if (blueprint.ops[k].kind != OpKind::kConv || fastest->count(key_of(blueprint.ops[k])) > 0) continue;
    ways[k] = candidates(blueprint, k, bench.packs, bench.runtime.properties().multiprocessors);
    most = std::max(most, ways[k].size());
  }
  for (size_t turn = 0; turn < most; ++turn) {  // a way of each op at a time, so that they share a trial
    for (size_t k = 0; k < ops; ++k) {
      if (turn < ways[k].size()) blueprint.choices[k] = ways[k][turn];
    }
    const Trial trial(bench, blueprint);
    for (size_t k = 0; k < ops; ++k) {
      if (turn >= ways[k].size()) continue;
      OpChoice& way = ways[k][turn];
      OpChoice& best = fastest->try_emplace(key_of(blueprint.ops[k]), way).first->second;
      const double least = turn == 0 ? std::numeric_limits<double>::infinity() : best.measured.seconds;
      const double seconds = time_op(bench.runtime, *trial.record_op(k), least);
      way.measured = {static_cast<int>(ways[k].size()), seconds,
                      turn == 0 ? seconds : best.measured.modelled};
      if (seconds < least) best = way;
    }
  }
}

// The measured ways of all ops, each Fire as it was faster.
Blueprint assemble(const Bench& bench, const Blueprint& modelled) {
  const Plan& plan = modelled.plan;
  const int multiprocessors = bench.runtime.properties().multiprocessors;
  const auto make = [&](const auto& whole) {
    return make_blueprint(bench.graph, bench.packs, plan.height, plan.width, modelled.images, multiprocessors,
                          whole);
  };
  const auto layers = static_cast<size_t>(bench.graph.size());
  const Blueprint apart = make(std::vector<bool>(layers)), whole = make(PlanPolicy::kWhole);
  Choices best;
  add_fastest(bench, apart, &best);
  add_fastest(bench, whole, &best);

  std::vector<bool> faster_whole(layers);
  for (size_t layer = 0; layer < layers; ++layer) {
    const LayerDescription& description = bench.graph.layers()[layer];
    if (description.kind != LayerKind::kFire) continue;
    const ConvDescription* const squeeze = &description.convs[kSqueeze];
    const auto fire = std::find_if(best.begin(), best.end(),
                                   [&](const auto& choice) { return choice.first.first == squeeze; });
    // Expands by themselves can write the net's results as the caller has them.
    if (fire == best.end() || (bench.packs.on_tensor_cores && layer + 1 == layers)) continue;
    const ConvDescription* const expands = fire->first.second;
    faster_whole[layer] = fire->second.measured.seconds < best.at({nullptr, squeeze}).measured.seconds +
                                                              best.at({nullptr, expands}).measured.seconds;
  }
  Blueprint tuned = make(faster_whole);
  for (size_t k = 0; k < tuned.ops.size(); ++k) {
    if (tuned.ops[k].kind == OpKind::kConv) tuned.choices[k] = best.at(key_of(tuned.ops[k]));
  }
  return tuned;
}

// Least seconds of a run of each, in turn: what slows the device slows both.
std::pair<double, double> time_nets(const Bench& bench, const Blueprint& first, const Blueprint& second) {
  std::pair<double, double> least{std::numeric_limits<double>::infinity(),
                                  std::numeric_limits<double>::infinity()};
  const auto time = [&](const Blueprint& blueprint) {
    const Trial trial(bench, blueprint);
    const auto recording = trial.record_net();
    const int replays = replays_in(kTurns * kTurnSeconds, bench.runtime.seconds(*recording, 1));
    return bench.runtime.seconds(*recording, replays) / replays;
  };
  for (int turn = 0; turn < kTurns; ++turn) {
    least.first = std::min(least.first, time(first));
    least.second = std::min(least.second, time(second));
  }
  return least;
}

}  // namespace

Blueprint tune(const Bench& bench, const Blueprint& modelled) {
  warm_up(bench, modelled);
  const Blueprint tuned = assemble(bench, modelled);
  const auto [of_tuned, of_modelled] = time_nets(bench, tuned, modelled);
  Blueprint best = of_tuned <= of_modelled ? tuned : modelled;
  best.measured = {2, std::min(of_tuned, of_modelled), of_modelled};
  return best;
}

}  // namespace squish::cuda
