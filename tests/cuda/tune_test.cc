// Plans that are measured instead of modelled: every way in which an op can run computes the same, and the fastest by the
// device's clock, which here says what the test wants, is taken.
#include "cuda/tune.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "cuda/candidates.h"
#include "cuda/cuda_backend.h"
#include "squish/error.h"
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

// A pooled convolution, Fires with a pool behind them and without, a head.
std::shared_ptr<const Model> small_model() {
  NetBuilder net(1, 3);
  net.max_pool(net.conv(-1, 20, square(3)), square(3, 2), true);
  net.max_pool(net.fire(1, {5, 17, 40}), square(3, 2), true);
  net.global_average_pool(net.conv(net.fire(3, {9, 40, 18}), kClasses, square(1)));
  return net.model();
}

Images images(int64_t count) { return Images(PixelFormat::kF32Nchw, count, {3, kExtent, kExtent}, 1); }

struct Device {
  explicit Device(StorageType storage = StorageType::kF32, bool tensor_cores = true) {
    auto emulated = std::make_unique<EmulatedRuntime>(kMultiprocessors);
    runtime = emulated.get();
    runtime->clock = [] { return 1.0; };
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
};

struct Storage {
  StorageType type;
  bool tensor_cores;
};
constexpr Storage kStorages[] = {{StorageType::kF32, false},
                                 {StorageType::kF32, true},
                                 {StorageType::kF16, false},
                                 {StorageType::kF16, true}};

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
  std::vector<float> output(static_cast<size_t>(batch.count * kClasses));
  runtime.download(output.data(), arena.output, output.size() * sizeof(float));
  return output;
}

TEST(Candidates, ComputeWhatTheModelsWayDoes) {
  const auto model = small_model();
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
        if (!storage.tensor_cores) {
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
                 a.fire.splits == b.fire.splits;
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

// A small net and what its plans are measured with, by a clock that the test sets.
struct Tuner {
  explicit Tuner(const Storage& storage)
      : packs(pack_net(model->graph(), storage.tensor_cores, storage.type)),
        weights(runtime, packs, storage.type) {}

  Blueprint blueprint(PlanPolicy policy) const {
    return make_blueprint(model->graph(), packs, kExtent, kExtent, 1, kMultiprocessors, policy);
  }
  // clock(look): what it says at the look with this number.
  Blueprint tuned(const std::function<double(int)>& clock) {
    looks = 0;
    runtime.clock = [&] { return clock(looks++); };
    const auto arena = [&](size_t bytes) {
      memory.reset();
      memory = DeviceMemory(runtime, bytes);
      runtime.clear(memory.data(), bytes);
      runtime.synchronise();
      return memory.data();
    };
    return tune({runtime, model->graph(), packs, weights, norm, arena}, blueprint(PlanPolicy::kModelled));
  }

  const std::shared_ptr<const Model> model = small_model();
  EmulatedRuntime runtime{kMultiprocessors};
  const Packs packs;
  const DeviceWeights weights;
  const Normalisation norm = normalisation_of(model->description().input);
  DeviceMemory memory;
  int looks = 0;
};

std::vector<std::string> ops_of(const Blueprint& blueprint) {
  std::vector<std::string> names;
  for (const Op& op : blueprint.ops) names.push_back(op.name);
  return names;
}

TEST(Tune, KeepsTheModelsWaysWhereNoneIsFaster) {
  for (const Storage& storage : kStorages) {
    Tuner tuner(storage);
    const Blueprint modelled = tuner.blueprint(PlanPolicy::kApart),
                    got = tuner.tuned([](int) { return 1.0; });
    EXPECT_EQ(got.measured.ways, 2);
    EXPECT_EQ(got.measured.seconds, got.measured.modelled);
    for (size_t k = 0; k < got.ops.size(); ++k) {
      if (got.ops[k].squeeze != nullptr || got.ops[k].kind != OpKind::kConv) continue;
      const auto same = std::find_if(modelled.ops.begin(), modelled.ops.end(),
                                     [&](const Op& op) { return op.name == got.ops[k].name; });
      ASSERT_NE(same, modelled.ops.end());
      const OpChoice& wanted = modelled.choices[static_cast<size_t>(same - modelled.ops.begin())];
      EXPECT_TRUE(got.choices[k].mma == wanted.mma && got.choices[k].tiling == wanted.tiling &&
                  got.choices[k].pixels == wanted.pixels)
          << got.ops[k].name;
      EXPECT_EQ(got.choices[k].measured.seconds, got.choices[k].measured.modelled);
    }
  }
}

// Each look is shorter than the one before until the nets are compared: of each op the last way is fastest, and of Fires,
// which are measured after all convolutions, whole ones.
TEST(Tune, TakesTheFastestWayOfEachOp) {
  constexpr int kLooksAtNets = 12;
  for (const Storage& storage : kStorages) {
    Tuner tuner(storage);
    const auto shorter = [](int look) { return 1.0 / (look + 1); };
    tuner.tuned(shorter);
    const int compared = tuner.looks - kLooksAtNets;
    const Blueprint got = tuner.tuned([&](int look) { return look < compared ? shorter(look) : 1.0; });
    const Blueprint whole = tuner.blueprint(PlanPolicy::kWhole);
    ASSERT_EQ(ops_of(got), ops_of(whole));
    for (size_t k = 0; k < got.ops.size(); ++k) {
      const auto ways = candidates(whole, k, tuner.packs, kMultiprocessors);
      if (ways.empty()) continue;
      EXPECT_TRUE(got.choices[k].tiling == ways.back().tiling && got.choices[k].mma == ways.back().mma &&
                  got.choices[k].fire.splits == ways.back().fire.splits &&
                  got.choices[k].pixels == ways.back().pixels)
          << got.ops[k].name;
      EXPECT_EQ(got.choices[k].measured.ways, static_cast<int>(ways.size()));
      if (ways.size() > 1) {
        EXPECT_LT(got.choices[k].measured.seconds, got.choices[k].measured.modelled);
      }
    }
  }
}

// Each look is longer than the one before: whole Fires are slower than their parts.
TEST(Tune, LeavesFiresApartWhereThatIsFaster) {
  Tuner tuner({StorageType::kF16, true});
  const Blueprint got = tuner.tuned([](int look) { return 1.0 + 0.01 * look; });
  EXPECT_EQ(ops_of(got), ops_of(tuner.blueprint(PlanPolicy::kApart)));
}

TEST(Tune, ReturnsTheModelsPlanWhereTheWholeNetIsFasterSo) {
  Tuner tuner({StorageType::kF16, true});
  const Blueprint got = tuner.tuned([](int look) { return 1.0 / (look + 1); });  // and it is measured last
  const Blueprint modelled = tuner.blueprint(PlanPolicy::kModelled);
  EXPECT_EQ(ops_of(got), ops_of(modelled));
  for (size_t k = 0; k < got.ops.size(); ++k) EXPECT_TRUE(got.choices[k].mma == modelled.choices[k].mma);
  EXPECT_EQ(got.measured.seconds, got.measured.modelled);
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

TEST(CudaBackendMeasured, ExplainsWhatItMeasured) {
  Device device;
  const auto steps = device.backend->explain(kExtent, kExtent);
  EXPECT_NE(steps[0].why.find("a run took"), std::string::npos) << steps[0].why;
  EXPECT_NE(steps[1].why.find("ways measured: "), std::string::npos) << steps[1].why;
  EXPECT_GT(device.backend->arena_bytes(kExtent, kExtent), 0);
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
  const auto wanted = Device().run(one.batch());
  device.backend->prepare(kExtent, kExtent, 1);
  auto pixels = device.backend->allocate(static_cast<size_t>(image_bytes(one.batch(), 3)));
  auto logits = device.backend->allocate(kClasses * sizeof(float));
  ImageBatch batch = one.batch();
  std::copy_n(static_cast<const uint8_t*>(batch.data), image_bytes(batch, 3),
              static_cast<uint8_t*>(pixels->data()));
  batch.data = pixels->data();
  emulator::Stream stream;
  device.backend->enqueue(batch, static_cast<float*>(logits->data()), &stream);
  device.run(two.batch());
  const auto* const got = static_cast<const float*>(logits->data());
  EXPECT_TRUE(all_equal({got, got + kClasses}, wanted));
}

}  // namespace
}  // namespace squish::cuda
