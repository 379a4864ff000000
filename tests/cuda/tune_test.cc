// Plans that are measured instead of modelled: every way in which an op can run computes the same, and the fastest by the
// device's clock, which here says what the test wants, is taken.
#include "cuda/tune.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "cuda/candidates.h"
#include "cuda/cuda_backend.h"
#include "squish/error.h"
#include "support/emulated_kernels.h"
#include "support/emulated_runtime.h"
#include "support/expected.h"
#include "support/image.h"
#include "support/net_builder.h"
#include "support/throws.h"

namespace squish::cuda {
namespace {

using testing::all_equal;
using testing::Images;
using testing::NetBuilder;
using testing::square;
using testing::throws;

constexpr int kClasses = 5, kExtent = 25;
constexpr int kMultiprocessors = 4;

// A pooled convolution, Fires with a pool behind them and without; for floats and for integers. What it ends in may write the
// caller's results itself.
enum class End { kAverage, kConv, kFire };
std::shared_ptr<const Model> small_model(End end = End::kAverage) {
  constexpr testing::ConvStyle kI8{true, 1, false, WeightType::kI8};
  NetBuilder net(1, 3);
  net.max_pool(net.conv(-1, 20, square(3), kI8), square(3, 2), true);
  net.max_pool(net.fire(1, {5, 17, 40}, kI8), square(3, 2), true);
  net.fire(3, {9, 40, 18}, kI8);
  if (end != End::kFire) net.conv(net.last(), kClasses, square(1), kI8);
  if (end == End::kAverage) net.global_average_pool(net.last());
  net.hold_in_bytes();
  return net.model();
}

Images images(int64_t count) { return Images(PixelFormat::kF32Nchw, count, {3, kExtent, kExtent}, 1); }

struct Device {
  explicit Device(StorageType storage = StorageType::kF32, bool tensor_cores = true) {
    auto emulated = std::make_unique<EmulatedRuntime>(kMultiprocessors);
    runtime = emulated.get();
    runtime->clock = [this] {
      ++looks;
      return 1e-6;
    };
    backend = std::make_unique<CudaBackend>(small_model(), std::move(emulated), PlanPolicy::kMeasured,
                                            storage, tensor_cores);
  }
  std::vector<float> run(const ImageBatch& batch) {
    std::vector<float> output(static_cast<size_t>(batch.count * kClasses));
    backend->run(batch, output.data(), nullptr);
    return output;
  }

  EmulatedRuntime* runtime;
  std::unique_ptr<CudaBackend> backend;
  int looks = 0;
};

struct Storage {
  StorageType type;
  bool tensor_cores;
};
constexpr Storage kStorages[] = {{StorageType::kF32, false}, {StorageType::kF32, true},
                                 {StorageType::kF16, false}, {StorageType::kF16, true},
                                 {StorageType::kI8, false},  {StorageType::kI8, true}};

// The ways of all ops of a blueprint, each of which has at least one.
std::vector<std::vector<OpChoice>> ways_of(const Blueprint& blueprint, const Packs& packs) {
  std::vector<std::vector<OpChoice>> ways;
  for (size_t k = 0; k < blueprint.ops.size(); ++k) {
    ways.push_back(candidates(blueprint, k, packs, kMultiprocessors));
    if (ways.back().empty()) ways.back().push_back(blueprint.choices[k]);
  }
  return ways;
}

// The outputs of two images with a blueprint as it is.
std::vector<float> run(EmulatedRuntime& runtime, const Model& model, const Packs& packs,
                       const Blueprint& blueprint, const Images& input) {
  const DeviceWeights weights(runtime, packs, packs.storage);
  const DeviceTaps taps(runtime, blueprint, packs);
  const DeviceMemory memory(runtime, Arena::bytes(blueprint));
  const Arena arena(blueprint, memory.data());
  const Normalisation norm = normalisation_of(model.description().input);
  const Program program(runtime, blueprint, arena, weights, taps, norm);
  const ImageBatch batch = input.batch();
  runtime.upload(arena.images, batch.data, static_cast<size_t>(batch.count * image_bytes(batch, 3)));
  const Ends ends{batch.format, arena.images, arena.output, arena.not_finite};
  for (size_t step = 0; step < program.steps(); ++step) program.launch(step, ends, runtime.stream());
  std::vector<float> output(
      static_cast<size_t>(batch.count * model.output_shape(batch.height, batch.width).elements()));
  runtime.download(output.data(), arena.output, output.size() * sizeof(float));
  return output;
}

class CandidatesOfNets : public ::testing::TestWithParam<End> {};

TEST_P(CandidatesOfNets, ComputeWhatTheModelsWayDoes) {
  const auto model = small_model(GetParam());
  const Images input = images(2);
  for (const Storage& storage : kStorages) {
    const Packs packs = pack_net(model->graph(), storage.tensor_cores, storage.type);
    for (PlanPolicy policy : {PlanPolicy::kApart, PlanPolicy::kWhole}) {
      Blueprint blueprint =
          make_blueprint(model->graph(), packs, kExtent, kExtent, 2, kMultiprocessors, policy);
      EmulatedRuntime runtime(kMultiprocessors);
      const auto wanted = run(runtime, *model, packs, blueprint, input);
      const auto ways = ways_of(blueprint, packs);
      size_t most = 0;
      for (const auto& of_op : ways) most = std::max(most, of_op.size());
      ASSERT_GT(most, 1u);
      for (size_t turn = 1; turn < most; ++turn) {
        for (size_t k = 0; k < ways.size(); ++k) blueprint.choices[k] = ways[k][turn % ways[k].size()];
        const auto got = run(runtime, *model, packs, blueprint, input);
        if (!storage.tensor_cores || storage.type == StorageType::kI8) {
          ASSERT_TRUE(all_equal(got, wanted)) << turn;
          continue;
        }
        // Sums in another order: what rounding of the stored type explains.
        const float tolerance = storage.type == StorageType::kF16 ? 1e-2f : 1e-5f;
        for (size_t i = 0; i < got.size(); ++i)
          ASSERT_NEAR(got[i], wanted[i], tolerance * std::max(1.0f, std::abs(wanted[i])))
              << turn << ", " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ends, CandidatesOfNets, ::testing::Values(End::kAverage, End::kConv, End::kFire));

TEST(Candidates, BeginWithTheBlueprintsWayAndHaveNoneTwice) {
  const auto model = small_model();
  for (const Storage& storage : kStorages) {
    const Packs packs = pack_net(model->graph(), storage.tensor_cores, storage.type);
    for (PlanPolicy policy : {PlanPolicy::kApart, PlanPolicy::kWhole}) {
      const Blueprint blueprint =
          make_blueprint(model->graph(), packs, kExtent, kExtent, 1, kMultiprocessors, policy);
      for (size_t k = 0; k < blueprint.ops.size(); ++k) {
        const auto all = candidates(blueprint, k, packs, kMultiprocessors);
        if (blueprint.ops[k].kind != OpKind::kConv) {
          EXPECT_TRUE(all.empty());
          continue;
        }
        const auto alike = [&](const OpChoice& a, const OpChoice& b) {
          return a.tiling == b.tiling && a.mma == b.mma && a.pixels == b.pixels &&
                 a.fire.splits == b.fire.splits && a.on_tensor_cores == b.on_tensor_cores;
        };
        ASSERT_FALSE(all.empty());
        EXPECT_TRUE(alike(all[0], blueprint.choices[k]));
        for (size_t i = 0; i < all.size(); ++i) {
          for (size_t j = 0; j < i; ++j)
            EXPECT_FALSE(alike(all[i], all[j])) << blueprint.ops[k].name << ": " << i << ", " << j;
        }
      }
    }
  }
}

// A device on which launches of kernels for tensor cores take what a test says, and others nothing.
class PricedRuntime final : public EmulatedRuntime {
 public:
  PricedRuntime() : EmulatedRuntime(kMultiprocessors) {
    current_ = this;
    table_ = emulated_half_kernels();
    table_.conv_mma = [](const MmaConvTask<__half>& task, Stream stream) {
      current_->pay(current_->conv, task);
      emulated_half_kernels().conv_mma(task, stream);
    };
    table_.conv_mma_pooled = [](const MmaConvTask<__half>& task, Stream stream) {
      current_->pay(current_->pooled, task);
      emulated_half_kernels().conv_mma_pooled(task, stream);
    };
    table_.fire_mma = [](const MmaFireTask<__half>& task, Stream stream) {
      current_->pay(current_->fire, task);
      emulated_half_kernels().fire_mma(task, stream);
    };
    table_.read_quads = [](const QuadsTask<__half>& task, Stream stream) {
      current_->whole_net_ = true;
      emulated_half_kernels().read_quads(task, stream);
    };
  }

  const KernelTable<__half>& half_kernels() const override { return table_; }
  std::unique_ptr<Recording> record(const std::function<void(Stream)>& work) override {
    price_ = 0;
    whole_net_ = false;
    auto recording = EmulatedRuntime::record(work);
    price_of_[recording.get()] = whole_net_ ? net(price_) : price_;
    return recording;
  }
  double seconds(Recording& recording, int count) override {
    spent += price_of_.at(&recording) * (count + 1);
    return price_of_.at(&recording) * count;
  }

  // Of a launch; of a recording of a whole net whose launches take so long by themselves.
  std::function<double(const MmaConvTask<__half>&)> conv = [](const auto&) { return 10e-6; },
                                                    pooled = [](const auto&) { return 10e-6; };
  std::function<double(const MmaFireTask<__half>&)> fire = [](const auto&) { return 1000e-6; };
  std::function<double(double)> net = [](double seconds) { return seconds; };
  double spent = 0;

 private:
  template <typename Price, typename Task>
  void pay(const Price& price, const Task& task) {
    price_ += price(task);
  }

  static PricedRuntime* current_;
  KernelTable<__half> table_{};
  double price_ = 0;
  bool whole_net_ = false;
  std::map<const Recording*, double> price_of_;
};
PricedRuntime* PricedRuntime::current_ = nullptr;

// A net and what its plans are measured with.
struct TunedNet {
  explicit TunedNet(std::shared_ptr<const Model> of = small_model())
      : model(std::move(of)),
        packs(pack_net(model->graph(), true, StorageType::kF16)),
        weights(runtime, packs, StorageType::kF16) {}

  Blueprint blueprint(PlanPolicy policy) const {
    return make_blueprint(model->graph(), packs, kExtent, kExtent, 1, kMultiprocessors, policy);
  }
  Blueprint tuned() {
    const auto arena = [&](size_t bytes) {
      memory.reset();
      memory = DeviceMemory(runtime, bytes);
      runtime.clear(memory.data(), bytes);
      runtime.synchronise();
      return memory.data();
    };
    return tune({runtime, model->graph(), packs, weights, norm, arena}, blueprint(PlanPolicy::kMeasured));
  }

  std::shared_ptr<const Model> model;
  PricedRuntime runtime;
  Packs packs;
  DeviceWeights weights;
  Normalisation norm = normalisation_of(model->description().input);
  DeviceMemory memory;
};

std::vector<std::string> ops_of(const Blueprint& blueprint) {
  std::vector<std::string> names;
  for (const Op& op : blueprint.ops) names.push_back(op.name);
  return names;
}

bool is_way(const MmaChoice& choice, int tiles, int slices, int warps) {
  return choice.tiles == tiles && choice.slices == slices && choice.warps == warps;
}

TEST(Tune, TakesTheFastestWayOfEachOp) {
  TunedNet net;
  net.runtime.conv = [](const auto& task) {
    return task.tiles == 2 && task.slices == 1 && task.warps == 4 ? 5e-6 : 10e-6;
  };
  net.runtime.pooled = [](const auto& task) { return 1e-6 * task.tiling.height * task.tiling.width; };
  const Blueprint got = net.tuned();
  EXPECT_EQ(ops_of(got), ops_of(net.blueprint(PlanPolicy::kApart))) << "whole Fires cost 1 ms";
  int convs = 0, pooled = 0;
  for (size_t k = 0; k < got.ops.size(); ++k) {
    if (got.ops[k].kind != OpKind::kConv) continue;
    const OpChoice& choice = got.choices[k];
    if (got.ops[k].pooled) {
      EXPECT_LE(choice.tiling.height * choice.tiling.width, 4) << "the smallest tiles that are candidates";
      ++pooled;
      continue;
    }
    EXPECT_TRUE(is_way(choice.mma, 2, 1, 4)) << got.ops[k].name;
    EXPECT_NEAR(choice.measured.seconds, 5e-6, 1e-9);
    EXPECT_NEAR(choice.measured.modelled, 10e-6, 1e-9);
    EXPECT_NEAR(choice.measured.least, 5e-6, 1e-9);
    EXPECT_GT(choice.measured.ways, 4);
    ++convs;
  }
  EXPECT_GE(convs, 4);
  EXPECT_GE(pooled, 2);
  EXPECT_LT(got.measured.seconds, got.measured.modelled);
}

TEST(Tune, TakesFiresWholeWhereThatIsFaster) {
  TunedNet net;
  net.runtime.fire = [](const auto& task) { return task.splits == 2 ? 15e-6 : 25e-6; };  // two ops: 20
  const Blueprint got = net.tuned();
  EXPECT_EQ(ops_of(got), ops_of(net.blueprint(PlanPolicy::kWhole)));
  for (size_t k = 0; k < got.ops.size(); ++k) {
    if (got.ops[k].squeeze == nullptr) continue;
    EXPECT_EQ(got.choices[k].fire.splits, 2);
    EXPECT_NEAR(got.choices[k].measured.seconds, 15e-6, 1e-9);
  }
}

TEST(Tune, KeepsTheModelsWayWhereOthersAreHardlyFaster) {
  TunedNet net;
  const Blueprint modelled = net.blueprint(PlanPolicy::kModelled);
  net.runtime.conv = [](const auto& task) { return task.tiles == 2 ? 9.9e-6 : 10e-6; };
  const Blueprint got = net.tuned();
  ASSERT_EQ(ops_of(got), ops_of(modelled));
  for (size_t k = 0; k < got.ops.size(); ++k) EXPECT_TRUE(got.choices[k].mma == modelled.choices[k].mma);
}

// Of each op some way seems fast when it is looked at for the first time, in a recording of 16 launches.
TEST(Tune, LooksAgainBeforeItLeavesTheModelsWay) {
  TunedNet net;
  const Blueprint modelled = net.blueprint(PlanPolicy::kModelled);
  std::map<std::tuple<const void*, int, int, int>, int> launches;
  net.runtime.conv = [&](const auto& task) {
    int& count = launches[{task.convs.weights, task.tiles, task.slices, task.warps}];
    return task.tiles == 2 && ++count <= 16 ? 5e-6 : 10e-6;
  };
  const Blueprint got = net.tuned();
  ASSERT_EQ(ops_of(got), ops_of(modelled));
  for (size_t k = 0; k < got.ops.size(); ++k) EXPECT_TRUE(got.choices[k].mma == modelled.choices[k].mma);
}

TEST(Tune, ReturnsTheModelsPlanWhereTheWholeNetIsFasterSo) {
  TunedNet net;
  net.runtime.conv = [](const auto& task) { return task.tiles == 2 ? 5e-6 : 10e-6; };
  net.runtime.net = [](double seconds) { return 1e-3 - seconds; };
  const Blueprint got = net.tuned(), modelled = net.blueprint(PlanPolicy::kModelled);
  ASSERT_EQ(ops_of(got), ops_of(modelled));
  for (size_t k = 0; k < got.ops.size(); ++k) EXPECT_TRUE(got.choices[k].mma == modelled.choices[k].mma);
  EXPECT_EQ(got.measured.seconds, got.measured.modelled);
  for (size_t k = 0; k < got.ops.size(); ++k) {
    if (got.ops[k].kind != OpKind::kConv || got.ops[k].pooled) continue;
    EXPECT_EQ(got.choices[k].measured.seconds, got.choices[k].measured.modelled);
    EXPECT_NEAR(got.choices[k].measured.least, 5e-6, 1e-9) << "what it would have been";
  }
}

// What tune.h says of time, whatever an op takes; whole Fires are looked at, too, and of ways as many are said to have been
// tried as were.
TEST(Tune, EndsSoonWhereANetTakesLong) {
  for (double op : {1.0, 0.2, 0.05, 5e-3, 1e-3, 1e-5}) {
    TunedNet net;
    net.runtime.conv = net.runtime.pooled = [&](const auto&) { return op; };
    std::map<const void*, MmaFireTask<__half>> modelled;  // which is recorded first
    net.runtime.fire = [&](const auto& task) {
      const auto& first = modelled.try_emplace(task.squeeze.weights, task).first->second;
      return task.tiling == first.tiling && task.splits == first.splits ? 3 * op : op;
    };
    const Blueprint got = net.tuned(), apart = net.blueprint(PlanPolicy::kApart);
    EXPECT_EQ(ops_of(got), ops_of(net.blueprint(PlanPolicy::kWhole))) << op;
    EXPECT_EQ(modelled.size(), 2u);
    const double run = op * 7;  // convolutions and Fires apart
    EXPECT_LT(net.runtime.spent, 10 + 40 * run) << op;
    for (const OpChoice& choice : got.choices) EXPECT_LE(choice.measured.ways, op == 1.0 ? 4 : 100);
  }
}

// A plan that needs more memory than the model's is not tried where there is not so much.
TEST(CudaBackendMeasured, RunsWhereOnlyTheModelsPlanFits) {
  NetBuilder builder(3, 3);
  builder.fire(builder.fire(-1, {8, 64, 64}), {8, 64, 64});
  const auto model = builder.model();
  const Images input(PixelFormat::kF32Nchw, 1, {3, 40, 40}, 1);
  const auto run = [&](PlanPolicy policy, size_t limit, size_t* allocated) {
    const auto runtime = std::make_shared<EmulatedRuntime>(kMultiprocessors);
    runtime->clock = [] { return 1e-6; };
    CudaBackend backend(model, runtime, policy, StorageType::kF32, false);
    runtime->limit = limit;
    std::vector<float> output(size_t{128} * 40 * 40);
    backend.run(input.batch(), output.data(), nullptr);
    *allocated = runtime->allocated();
    return output;
  };
  constexpr size_t kAny = std::numeric_limits<size_t>::max();
  constexpr size_t kTaps = 200000;  // of trials
  size_t apart = 0, whole = 0, measured = 0;
  const auto wanted = run(PlanPolicy::kApart, kAny, &apart);
  (void)run(PlanPolicy::kWhole, kAny, &whole);
  ASSERT_GT(whole, apart + kTaps) << "or this test says nothing";
  EXPECT_TRUE(all_equal(run(PlanPolicy::kMeasured, apart + kTaps, &measured), wanted));
}

// Ways that take a hundred times as long as the model's are looked at once: after a replay to warm up, 16 launches.
TEST(Tune, LooksOnceAtWhatIsHopeless) {
  TunedNet net;
  net.runtime.conv = [](const auto& task) { return task.slices >= 4 ? 1e-3 : 10e-6; };
  net.runtime.fire = [](const auto&) { return 10e-6; };
  (void)net.tuned();
  const int convs = 5, most_ways = 6;  // of each, with so many slices
  EXPECT_LT(net.runtime.spent, convs * most_ways * 2 * 16 * 1e-3 + 0.2);
}

TEST(Tune, BeginsWithWhatRunsWithoutIt) {
  NetBuilder builder(2, 3);
  constexpr testing::ConvStyle kI8{true, 1, false, WeightType::kI8};
  builder.fire(builder.fire(-1, {16, 64, 64}, kI8), {16, 64, 64}, kI8);
  builder.hold_in_bytes();
  const auto model = builder.model();
  for (const Storage& storage : kStorages) {
    const Packs packs = pack_net(model->graph(), storage.tensor_cores, storage.type);
    for (int64_t images : {1, 64}) {
      const auto ops = [&](PlanPolicy policy) {
        return ops_of(make_blueprint(model->graph(), packs, 60, 60, images, kMultiprocessors, policy));
      };
      EXPECT_EQ(ops(PlanPolicy::kMeasured), ops(PlanPolicy::kModelled));
    }
  }
}

TEST(CudaBackendMeasured, MeasuresASizeOnceAndRunsAsEver) {
  Device device;
  const Images two = images(2);
  const auto first = device.run(two.batch());
  const int recordings = device.runtime->recordings, allocations = device.runtime->allocations;
  EXPECT_TRUE(all_equal(device.run(two.batch()), first));
  EXPECT_EQ(device.runtime->recordings, recordings);
  EXPECT_EQ(device.runtime->allocations, allocations);
}

// More pairs than a session keeps plans of.
TEST(CudaBackendMeasured, MeasuresNoPairTwice) {
  Device device;
  std::vector<std::vector<float>> first;
  for (int64_t count = 1; count <= 9; ++count) first.push_back(device.run(images(count).batch()));
  const int looks = device.looks;
  EXPECT_GT(looks, 0);
  for (int64_t count = 1; count <= 9; ++count)
    EXPECT_TRUE(all_equal(device.run(images(count).batch()), first[static_cast<size_t>(count - 1)]));
  device.backend->explain(kExtent, kExtent);
  EXPECT_EQ(device.looks, looks);
}

// Every launch that is timed is made.
TEST(CudaBackendMeasured, RunsWhatItMeasures) {
  for (const Storage& storage : {Storage{StorageType::kF16, true}, {StorageType::kF32, false}}) {
    NetBuilder net(1, 3);
    net.global_average_pool(net.fire(-1, {5, 17, 18}));
    const auto model = net.model();
    const Images input(PixelFormat::kF32Nchw, 1, {3, 6, 7}, 1);
    std::vector<std::vector<float>> outputs;
    for (PlanPolicy policy : {PlanPolicy::kModelled, PlanPolicy::kMeasured}) {
      CudaBackend backend(model, std::make_shared<EmulatedRuntime>(kMultiprocessors), policy, storage.type,
                          storage.tensor_cores);
      std::vector<float> output(35);
      backend.run(input.batch(), output.data(), nullptr);
      outputs.push_back(output);
    }
    for (size_t i = 0; i < outputs[0].size(); ++i) EXPECT_NEAR(outputs[1][i], outputs[0][i], 1e-2) << i;
  }
}

TEST(CudaBackendMeasured, ExplainsWhatItMeasured) {
  Device device;
  const auto steps = device.backend->explain(kExtent, kExtent);
  EXPECT_NE(steps[0].why.find("; a run took "), std::string::npos) << steps[0].why;
  EXPECT_NE(steps[1].why.find("; measured 0.1 us, the model's way 0.1 us, of "), std::string::npos)
      << steps[1].why;
  EXPECT_GT(device.backend->memory(kExtent, kExtent).activations, 0);
}

// Whichever call of the device fails, the next run is as if nothing had been.
TEST(CudaBackendMeasured, StaysUsableWhenMeasuringFails) {
  const Images one = images(1);
  const auto wanted = Device().run(one.batch());
  for (int calls : {0, 1, 2, 5, 10, 50, 100, 200}) {
    Device device;
    device.runtime->calls_left = calls;
    EXPECT_TRUE(throws<DeviceError>([&] { device.run(one.batch()); }, "emulator: cannot")) << calls;
    device.runtime->calls_left = std::numeric_limits<int>::max();
    EXPECT_TRUE(all_equal(device.run(one.batch()), wanted)) << calls;
  }
  Device device;
  device.runtime->limit = device.runtime->allocated() + 1000;
  EXPECT_TRUE(throws<DeviceError>([&] { device.run(one.batch()); }, "out of memory"));
  device.runtime->limit = std::numeric_limits<size_t>::max();
  EXPECT_TRUE(all_equal(device.run(one.batch()), wanted));
}

// The arena is a run's that was enqueued: it is waited for.
TEST(CudaBackendMeasured, DoesNotMeasureInMemoryThatARunUses) {
  Device device;
  const Images one = images(1), two = images(2);
  device.backend->prepare(kExtent, kExtent,
                          3);  // so that no arena has to grow, for which all would be waited for
  device.backend->prepare(kExtent, kExtent, 1);
  auto pixels = device.backend->allocate(static_cast<size_t>(image_bytes(one.batch(), 3)));
  auto logits = device.backend->allocate(kClasses * sizeof(float));
  ImageBatch batch = one.batch();
  std::copy_n(static_cast<const uint8_t*>(batch.data), image_bytes(batch, 3),
              static_cast<uint8_t*>(pixels->data()));
  batch.data = pixels->data();
  emulator::Stream stream;
  device.backend->enqueue(batch, static_cast<float*>(logits->data()), &stream);
  const auto* const got = static_cast<const float*>(logits->data());
  ASSERT_TRUE(std::isnan(got[0])) << "it is still to be done";
  bool looked = false;
  device.runtime->clock = [&] {
    EXPECT_FALSE(std::isnan(got[0]));
    looked = true;
    return 1e-6;
  };
  device.run(two.batch());
  EXPECT_TRUE(looked);
  EXPECT_TRUE(all_equal({got, got + kClasses}, Device().run(one.batch())));
}

}  // namespace
}  // namespace squish::cuda
