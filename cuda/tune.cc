#include "cuda/tune.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "cuda/candidates.h"
#include "squish/error.h"

namespace squish::cuda {
namespace {

constexpr double kWarmSeconds = 0.1;  // after which the device's clocks have risen
constexpr int kMostWarmRounds = 1000;
constexpr double kRecordingSeconds = 200e-6;  // of an op's launches, which share what a recording costs
constexpr int kMostLaunches = 16;
constexpr double kTurnSeconds = 400e-6;  // of replays that are timed together: far more than the clock's step
constexpr int kMostReplays = 16;
constexpr double kLongSeconds = 5e-3;  // what takes longer is timed well enough by one look
constexpr int kTurns = 3;              // of which the least counts
constexpr double kHopeless = 1.5;      // times the best so far: not worth a second look
constexpr double kMargin = 0.98;       // of the time of the model's way: what is to replace it takes no more
constexpr double kMostSeconds = 2;     // of the device, after which no more ways of a blueprint are tried,
constexpr size_t kFewestWays = 4;      // but for the first few
constexpr double kInfinity = std::numeric_limits<double>::infinity();

int times_in(double seconds, double one, int most) {
  return static_cast<int>(std::clamp(seconds / std::max(one, 1e-9), 1.0, static_cast<double>(most)));
}

// The device's clock, which knows how long it was asked.
class Clock {
 public:
  explicit Clock(Runtime& runtime) : runtime_(runtime) {}
  // Of one replay, on average over as many as so many seconds have; 0: one.
  double time(Recording& recording, double seconds) {
    double one = look(recording, 1);
    const int replays = times_in(seconds, one, kMostReplays);
    if (replays > 1) one = std::min(one, look(recording, replays) / replays);
    return one;
  }
  double spent() const { return spent_; }

 private:
  double look(Recording& recording, int replays) {
    const double seconds = runtime_.seconds(recording, replays);
    spent_ += seconds * (replays + 1) / replays;  // one more is not timed
    return seconds;
  }

  Runtime& runtime_;
  double spent_ = 0;
};

// A blueprint on the device, that can be run: on zeros, as the branches that kernels take do not depend on values. (Power does:
// a device that it limits clocks higher on them.)
class Trial {
 public:
  Trial(const Bench& bench, const Blueprint& blueprint)
      : runtime_(bench.runtime),
        arena_(blueprint, bench.arena(Arena::bytes(blueprint))),
        taps_(bench.runtime, blueprint, bench.packs),
        program_(bench.runtime, blueprint, arena_, bench.weights, taps_, bench.norm),
        ends_{PixelFormat::kF32Nchw, arena_.images, arena_.output, arena_.not_finite} {}

  std::unique_ptr<Recording> record_op(size_t op, int launches) const {
    return runtime_.record([&](Stream stream) {
      for (int i = 0; i < launches; ++i) program_.launch(op + 1, ends_, stream);
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

// Of a Fire or convolution in any blueprint of a net: its weights.
using OpKey = std::pair<const ConvDescription*, const ConvDescription*>;
OpKey key_of(const Op& op) { return {op.squeeze, op.convs[0]}; }

// What was seen of the ways of an op.
struct Look {
  size_t best = 0;
  double least = kInfinity;
  int ways = 0;  // that were tried

  void add(size_t way, double seconds) {
    ++ways;
    if (seconds >= least) return;
    least = seconds;
    best = way;
  }
};

class Tuner {
 public:
  explicit Tuner(const Bench& bench) : bench_(bench), clock_(bench.runtime) {}

  Blueprint tune(const Blueprint& modelled) {
    warm_up(modelled);
    add_fastest(modelled);  // first: time may be short
    const std::vector<bool> none(static_cast<size_t>(bench_.graph.size()));
    for (const Blueprint& other : {make(modelled, none), make(modelled, PlanPolicy::kWhole)}) {
      if (fits(other)) add_fastest(other);
    }
    // Fires as they are faster by themselves, and as modelled.
    const std::vector<bool> whole = whole_layers(modelled), faster = faster_whole(whole);
    std::vector<Blueprint> nets;
    if (faster != whole) nets.push_back(assemble(modelled, faster));
    if (!nets.empty() && !fits(nets[0])) nets.clear();
    nets.push_back(assemble(modelled, whole));
    nets.push_back(modelled);
    for (size_t k = 0; k < modelled.ops.size(); ++k) {
      if (modelled.ops[k].kind != OpKind::kConv) continue;
      Measured& measured = nets.back().choices[k].measured;
      measured = fastest_.at(key_of(modelled.ops[k])).measured;
      measured.seconds = measured.modelled;
    }
    const std::vector<double> seconds = time_nets(nets);
    const auto best = static_cast<size_t>(std::min_element(seconds.begin(), seconds.end()) - seconds.begin());
    nets[best].measured = {static_cast<int>(nets.size()), seconds[best], seconds.back(), seconds[best]};
    return std::move(nets[best]);
  }

 private:
  template <typename Whole>
  Blueprint make(const Blueprint& like, const Whole& whole) const {
    return make_blueprint(bench_.graph, bench_.packs, like.plan.height, like.plan.width, like.images,
                          bench_.runtime.properties().multiprocessors, whole);
  }

  // Whether the device has memory for it.
  bool fits(const Blueprint& blueprint) const {
    try {
      bench_.arena(Arena::bytes(blueprint));
      return true;
    } catch (const DeviceError&) {
      return false;
    }
  }

  // Raises the device's clocks, and finds how many launches of an op are worth a look.
  void warm_up(const Blueprint& blueprint) {
    const Trial trial(bench_, blueprint);
    const auto recording = trial.record_net();
    double net = 0;
    for (int round = 0; round < kMostWarmRounds && clock_.spent() < kWarmSeconds; ++round)
      net = clock_.time(*recording, kTurnSeconds);
    launches_ = times_in(kRecordingSeconds, net / static_cast<double>(blueprint.ops.size()), kMostLaunches);
  }

  double time_op(const Trial& trial, size_t op, double least) {
    const auto recording = trial.record_op(op, launches_);
    double seconds = clock_.time(*recording, 0) / launches_;
    if (seconds > kLongSeconds) return seconds;
    for (int turn = 0; turn < kTurns && seconds < kHopeless * least; ++turn)
      seconds = std::min(seconds, clock_.time(*recording, kTurnSeconds) / launches_);
    return seconds;
  }

  // Finds the fastest way of each op of this blueprint that was not measured yet.
  void add_fastest(Blueprint blueprint) {
    const size_t ops = blueprint.ops.size();
    std::vector<std::vector<OpChoice>> ways(ops);
    size_t most = 0;
    for (size_t k = 0; k < ops; ++k) {
      if (blueprint.ops[k].kind != OpKind::kConv || fastest_.count(key_of(blueprint.ops[k])) > 0) continue;
      ways[k] = candidates(blueprint, k, bench_.packs, bench_.runtime.properties().multiprocessors);
      most = std::max(most, ways[k].size());
    }
    std::vector<Look> looks(ops);
    const double end = clock_.spent() + kMostSeconds;
    for (size_t way = 0; way < most; ++way) {  // one of each op at a time, so that they share a trial
      if (way >= kFewestWays && clock_.spent() > end) break;
      for (size_t k = 0; k < ops; ++k) {
        if (way < ways[k].size()) blueprint.choices[k] = ways[k][way];
      }
      const Trial trial(bench_, blueprint);
      for (size_t k = 0; k < ops; ++k) {
        if (way < ways[k].size()) looks[k].add(way, time_op(trial, k, looks[k].least));
      }
    }
    keep_confirmed(std::move(blueprint), ways, looks);
  }

  // Keeps a way that was fastest only if it is so once more, in turn with the model's: the least of many times flatters, and
  // clocks drift meanwhile.
  void keep_confirmed(Blueprint blueprint, const std::vector<std::vector<OpChoice>>& ways,
                      const std::vector<Look>& looks) {
    const size_t ops = ways.size();
    std::vector<double> of_best(ops, kInfinity), of_modelled(ops, kInfinity);
    const auto time = [&](bool modelled, std::vector<double>& seconds) {
      for (size_t k = 0; k < ops; ++k) {
        if (!ways[k].empty()) blueprint.choices[k] = ways[k][modelled ? 0 : looks[k].best];
      }
      const Trial trial(bench_, blueprint);
      for (size_t k = 0; k < ops; ++k) {
        if (looks[k].best == 0) continue;
        const auto recording = trial.record_op(k, launches_);
        seconds[k] = std::min(seconds[k], clock_.time(*recording, kTurnSeconds) / launches_);
      }
    };
    const bool any = std::any_of(looks.begin(), looks.end(), [](const Look& look) { return look.best > 0; });
    const double end = clock_.spent() + kMostSeconds;
    for (int turn = 0; any && turn < kTurns && (turn == 0 || clock_.spent() < end); ++turn) {
      time(false, of_best);
      time(true, of_modelled);
    }
    for (size_t k = 0; k < ops; ++k) {
      if (ways[k].empty()) continue;
      const Look& look = looks[k];
      const bool taken = look.best > 0 && of_best[k] < kMargin * of_modelled[k];
      const double modelled = look.best > 0 ? of_modelled[k] : look.least;
      OpChoice choice = ways[k][taken ? look.best : 0];
      choice.measured = {look.ways, taken ? of_best[k] : modelled, modelled,
                         std::min({look.least, of_best[k], modelled})};
      fastest_[key_of(blueprint.ops[k])] = choice;
    }
  }

  double seconds_of(const ConvDescription* squeeze, const ConvDescription* conv) const {
    return fastest_.at({squeeze, conv}).measured.seconds;
  }

  // By layer: Fires that are faster whole than as two ops; as modelled where one of these was not measured.
  std::vector<bool> faster_whole(const std::vector<bool>& modelled) const {
    std::vector<bool> faster = modelled;
    for (size_t layer = 0; layer < faster.size(); ++layer) {
      const LayerDescription& description = bench_.graph.layers()[layer];
      if (description.kind != LayerKind::kFire) continue;
      const ConvDescription* const squeeze = &description.convs[kSqueeze];
      const auto fire = std::find_if(fastest_.begin(), fastest_.end(),
                                     [&](const auto& op) { return op.first.first == squeeze; });
      // Expands by themselves can write the net's results as the caller has them.
      const bool last = layer + 1 == faster.size();
      if (fire == fastest_.end() || (last && bench_.packs.on_tensor_cores)) continue;
      const ConvDescription* const expands = fire->first.second;
      if (fastest_.count({nullptr, squeeze}) == 0) continue;
      faster[layer] =
          seconds_of(squeeze, expands) < seconds_of(nullptr, squeeze) + seconds_of(nullptr, expands);
    }
    return faster;
  }

  std::vector<bool> whole_layers(const Blueprint& blueprint) const {
    std::vector<bool> whole(static_cast<size_t>(bench_.graph.size()));
    for (size_t layer = 0; layer < whole.size(); ++layer) {
      const LayerDescription& description = bench_.graph.layers()[layer];
      whole[layer] = description.kind == LayerKind::kFire &&
                     std::any_of(blueprint.ops.begin(), blueprint.ops.end(),
                                 [&](const Op& op) { return op.squeeze == &description.convs[kSqueeze]; });
    }
    return whole;
  }

  Blueprint assemble(const Blueprint& like, const std::vector<bool>& whole) const {
    Blueprint blueprint = make(like, whole);
    for (size_t k = 0; k < blueprint.ops.size(); ++k) {
      if (blueprint.ops[k].kind == OpKind::kConv)
        blueprint.choices[k] = fastest_.at(key_of(blueprint.ops[k]));
    }
    return blueprint;
  }

  // Least seconds of a run of each, in turn: what slows the device slows all.
  std::vector<double> time_nets(const std::vector<Blueprint>& nets) {
    std::vector<double> least(nets.size(), kInfinity);
    const double end = clock_.spent() + kMostSeconds;
    for (int turn = 0; turn < kTurns && (turn == 0 || clock_.spent() < end); ++turn) {
      for (size_t n = 0; n < nets.size(); ++n) {
        const Trial trial(bench_, nets[n]);
        least[n] = std::min(least[n], clock_.time(*trial.record_net(), kTurns * kTurnSeconds));
      }
    }
    return least;
  }

  const Bench& bench_;
  Clock clock_;
  int launches_ = 1;  // of an op in a recording
  std::map<OpKey, OpChoice> fastest_;
};

}  // namespace

Blueprint tune(const Bench& bench, const Blueprint& modelled) { return Tuner(bench).tune(modelled); }

}  // namespace squish::cuda
