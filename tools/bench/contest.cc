#include "bench/contest.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <utility>

#include "bench/fma_peak.h"
#include "format/weights.h"
#include "memory_size.h"
#include "plan/census.h"

namespace squish::bench {
namespace {

// A net with the images it runs on.
class Contestant {
 public:
  Contestant(const std::string& path, const BenchOptions& options)
      : path_(path), session_(Model::load(path), options.session) {
    const Shape own = session_.model().input_shape();
    input_ = {own.channels, options.size.height ? options.size.height : own.height,
              options.size.width ? options.size.width : own.width};
    logits_.resize(memory_size<float>(options.batch *
                                      session_.model().output_shape(input_.height, input_.width).elements()));
    fill(options);
  }

  void run() { session_.run(batch_, logits_.data()); }

  NetResult describe(const BenchOptions& options) {
    const Model& model = session_.model();
    NetResult net;
    net.path = path_;
    net.file_bytes = model.file_bytes();
    net.classes = model.classes();
    net.input = input_;
    net.storage = session_.options().storage;
    for (const LayerDescription& layer : model.description().layers) {
      for (const ConvDescription& conv : layer.convs) {
        net.weights += conv.weight_count();
        net.live_weights += count_live_weights(conv);
        net.clusters += count_clusters(conv);
        net.live_clusters += count_live_clusters(conv);
      }
    }
    net.memory = session_.memory(input_.height, input_.width);
    net.steps = options.profile ? session_.profile(batch_, options.iterations)
                                : session_.explain(input_.height, input_.width);
    for (const StepInfo& step : net.steps) {
      net.macs += step.macs;
      net.macs_run += step.macs_run;
    }
    return net;
  }

  const std::string& isa() const { return session_.isa(); }

 private:
  // mt19937's numbers are the same everywhere; those of the standard's distributions are not.
  void fill(const BenchOptions& options) {
    std::mt19937 random(0);
    const size_t values = memory_size<float>(options.batch * input_.elements());
    const bool is_uint8 = options.format == PixelFormat::kU8Nhwc;
    if (is_uint8) {
      pixels_.resize(values);
      std::generate(pixels_.begin(), pixels_.end(), [&] { return static_cast<uint8_t>(random() >> 24); });
    } else {
      floats_.resize(values);  // -2 .. 2: what normalised pixels are
      std::generate(floats_.begin(), floats_.end(),
                    [&] { return static_cast<float>(random() >> 8) * 0x1p-22f - 2; });
    }
    const void* data = is_uint8 ? static_cast<const void*>(pixels_.data()) : floats_.data();
    batch_ = {data, options.format, options.batch, input_.height, input_.width};
  }

  std::string path_;
  Session session_;
  Shape input_;
  std::vector<float> floats_, logits_;
  std::vector<uint8_t> pixels_;
  ImageBatch batch_;
};

}  // namespace

double NetResult::density() const { return fraction(live_weights, weights); }
double NetResult::cluster_density() const { return fraction(live_clusters, clusters); }

ContestResult run_contest(const BenchOptions& options) {
  std::vector<std::unique_ptr<Contestant>> contestants;
  std::vector<std::function<void()>> rivals;
  for (const std::string& path : options.nets) {
    contestants.push_back(std::make_unique<Contestant>(path, options));
    rivals.emplace_back([net = contestants.back().get()] { net->run(); });
  }
  ContestResult result{this_machine(), contestants[0]->isa(), 0, {}};
  const FmaLoop* loop = result.isa.empty() ? nullptr : &fma_loop(result.isa.c_str());
  if (loop != nullptr) rivals.emplace_back([loop] { run_fma_burst(*loop); });

  auto seconds = time_in_turn(rivals, options.warmup, options.iterations);
  if (loop != nullptr) {
    result.core_flops = static_cast<double>(fma_burst_flops(*loop)) / summarise(seconds.back()).min;
  }
  for (size_t k = 0; k < contestants.size(); ++k) {
    NetResult net = contestants[k]->describe(options);
    net.samples = std::move(seconds[k]);
    for (double& sample : net.samples) sample /= options.batch;
    net.seconds = summarise(net.samples);
    result.nets.push_back(std::move(net));
  }
  return result;
}

}  // namespace squish::bench
