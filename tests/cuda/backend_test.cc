// The CUDA backend on an emulated device: memory, recordings, errors.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda/cuda_backend.h"
#include "format/write.h"
#include "squish/error.h"
#include "support/emulated_runtime.h"
#include "support/expected.h"
#include "support/image.h"
#include "support/net_builder.h"
#include "support/sanitizers.h"
#include "support/throws.h"

namespace squish::cuda {
namespace {

using testing::all_equal;
using testing::all_within;
using testing::Expected;
using testing::Images;
using testing::NetBuilder;
using testing::square;
using testing::throws;

constexpr int kClasses = 7;

std::shared_ptr<const Model> small_model() {
  NetBuilder net(1, 3);
  net.max_pool(net.conv(-1, 20, square(3, 2)), square(3, 2), true);
  net.global_average_pool(net.conv(net.fire(1, {5, 17, 18}), kClasses, square(1)));
  return net.model();
}

Images images(int height, int width, int64_t count, PixelFormat format = PixelFormat::kF32Nchw) {
  return Images(format, count, {3, height, width}, static_cast<uint32_t>(height * 1000 + width));
}

// A backend whose device the test can look at.
struct Device {
  explicit Device(PlanPolicy policy = PlanPolicy::kModelled, StorageType storage = StorageType::kF32,
                  bool tensor_cores = true) {
    auto emulated = std::make_unique<EmulatedRuntime>();
    runtime = emulated.get();
    backend =
        std::make_unique<CudaBackend>(small_model(), std::move(emulated), policy, storage, tensor_cores);
  }
  std::vector<float> run(const ImageBatch& batch) {
    std::vector<float> output(static_cast<size_t>(batch.count * kClasses));
    backend->run(batch, output.data(), nullptr);
    return output;
  }

  EmulatedRuntime* runtime;
  std::unique_ptr<CudaBackend> backend;
};

TEST(CudaBackend, RunsOneRecordingAndAllocatesNothingOnceItIsPrepared) {
  Device device;
  device.backend->prepare(24, 30, 3);
  const int allocations = device.runtime->allocations, recordings = device.runtime->recordings;
  for (PixelFormat format : {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc}) {
    device.runtime->replays = 0;
    device.run(images(24, 30, 3, format).batch());
    EXPECT_EQ(device.runtime->replays, 1);
  }
  EXPECT_EQ(device.runtime->allocations, allocations);
  EXPECT_EQ(device.runtime->recordings, recordings);
}

TEST(CudaBackend, KeepsItsResultsWhateverSizesComeBetween) {
  Device device;
  const Images first = images(24, 30, 2);
  const auto wanted = device.run(first.batch());
  for (int extent : {11, 40, 13, 64, 24, 30, 31, 32, 33, 35}) device.run(images(extent, extent, 3).batch());
  EXPECT_TRUE(all_equal(device.run(first.batch()), wanted));
}

TEST(CudaBackend, StaysUsableWhenMemoryRunsOut) {
  Device device;
  const Images small = images(24, 30, 2), large = images(60, 60, 8);
  const auto wanted = device.run(small.batch());
  device.runtime->limit = device.runtime->allocated() + 1000;
  EXPECT_TRUE(throws<DeviceError>([&] { device.run(large.batch()); }, "out of memory"));
  EXPECT_TRUE(throws<DeviceError>([&] { device.run(large.batch()); }, "out of memory"));
  EXPECT_TRUE(all_equal(device.run(small.batch()), wanted));
  device.runtime->limit = std::numeric_limits<size_t>::max();
  device.run(large.batch());
  EXPECT_TRUE(all_equal(device.run(small.batch()), wanted));
}

TEST(CudaBackend, GivesBackItsMemory) {
  Device device;
  size_t most = 0;
  for (int round = 0; round < 3; ++round) {
    for (int extent = 20; extent < 40; extent += 2) device.run(images(extent, extent, 2).batch());
    if (round == 0) most = device.runtime->allocated();
  }
  EXPECT_EQ(device.runtime->allocated(), most);
}

TEST(CudaBackend, NamesTheFirstValueThatIsNotFinite) {
  Device device;
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    Images input = images(20, 24, 3);
    input.floats()[((1 * 3 + 2) * 20 + 7) * 24 + 11] = bad;
    EXPECT_TRUE(throws<InvalidArgument>([&] { device.run(input.batch()); },
                                        "batch: image 1, channel 2, row 7, column 11: got "));
  }
  const Images good = images(20, 24, 3);
  EXPECT_TRUE(all_equal(device.run(good.batch()), Device().run(good.batch()))) << "works after an error";
}

// What images give together and apart: bit for bit the same, or, on tensor cores, where the amount of work decides in which
// order a sum is computed, nearly.
::testing::AssertionResult all_agree(const std::vector<float>& got, const std::vector<float>& wanted,
                                     bool tensor_cores) {
  if (!tensor_cores) return all_equal(got, wanted);
  if (got.size() != wanted.size()) return ::testing::AssertionFailure() << "got " << got.size() << " values";
  float largest = 0;
  for (float value : wanted) largest = std::max(largest, std::abs(value));
  std::vector<Expected> expected;
  for (float value : wanted) expected.push_back({value, 1e-5 * largest});
  return all_within(got.data(), expected);
}

TEST(CudaBackend, CutsBatchesThatAreLargerThanItTakesAtOnce) {
  SQUISH_SKIP_UNDER_TSAN("a matter of arithmetic on the host, and large");
  for (bool tensor_cores : {false, true}) {
    Device device(PlanPolicy::kModelled, StorageType::kF32, tensor_cores);
    constexpr int64_t kCount = 259;  // 256 and 3
    Images many = images(11, 11, kCount);
    const auto output = device.run(many.batch());
    for (int64_t n : {int64_t{0}, int64_t{255}, int64_t{256}, kCount - 1}) {
      const std::vector<float> of_image(output.begin() + n * kClasses, output.begin() + (n + 1) * kClasses);
      EXPECT_TRUE(all_agree(of_image, device.run(many.part(n, 1)), tensor_cores)) << n;
    }
    many.floats().back() = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(throws<InvalidArgument>([&] { device.run(many.batch()); }, "batch: image 258, channel 2"));
  }
}

// One whose memory a batch would fill, as a Jetson's, which its CPU shares.
TEST(CudaBackend, CutsBatchesThatTakeMuchOfTheDevice) {
  for (bool tensor_cores : {false, true}) {
    constexpr int64_t kMemory = 1 << 20;
    const auto runtime = std::make_shared<EmulatedRuntime>(4, kMemory);
    CudaBackend backend(small_model(), runtime, PlanPolicy::kModelled, StorageType::kF32, tensor_cores);
    const size_t before = runtime->allocated();
    const Images many = images(40, 40, 12);
    std::vector<float> output(12 * kClasses);
    backend.prepare(40, 40, 12);
    backend.run(many.batch(), output.data(), nullptr);
    EXPECT_GT(runtime->replays, 1);
    EXPECT_LT(runtime->allocated() - before, size_t{kMemory / 8 * 5 / 4}) << "with taps";
    Device whole(PlanPolicy::kModelled, StorageType::kF32, tensor_cores);
    EXPECT_TRUE(all_agree(output, whole.run(many.batch()), tensor_cores));
    const auto tiny = std::make_shared<EmulatedRuntime>(4, 1);
    CudaBackend one_at_once(small_model(), tiny, PlanPolicy::kModelled, StorageType::kF32, tensor_cores);
    one_at_once.run(many.part(0, 1), output.data(), nullptr);  // one image at least
  }
}

TEST(CudaBackend, RejectsSizesThatTheNetDoesNotAdmit) {
  Device device;
  EXPECT_TRUE(
      throws<InvalidArgument>([&] { device.backend->prepare(2, 24, 1); }, "layer 0 'conv0' gets 2x24"));
  EXPECT_THROW(device.backend->explain(1 << 20, 1 << 20), InvalidArgument);
}

// But for where the taps of the plan point.
TEST(CudaBackend, MemoryIsWhatItHolds) {
  Device device;
  device.backend->prepare(200, 150, 1);
  const int64_t total = device.backend->memory(200, 150).total();
  const auto held = static_cast<int64_t>(device.runtime->allocated());
  EXPECT_LE(total, held);
  EXPECT_GE(total, held - held / 10);
}

TEST(CudaBackend, SaysWhatItNeedsWithoutAllocatingIt) {
  Device device;
  const int allocations = device.runtime->allocations;
  EXPECT_GT(device.backend->memory(4000, 4000).activations, int64_t{1} << 28);
  device.backend->explain(4000, 3000);
  EXPECT_EQ(device.runtime->allocations, allocations);
}

using Names = std::vector<std::string>;

Names kernels_of(const std::vector<StepInfo>& steps) {
  Names names;
  for (const StepInfo& step : steps) names.push_back(step.layer + ": " + step.kernel);
  return names;
}

Names kernels_of(PlanPolicy policy, bool tensor_cores) {
  return kernels_of(Device(policy, StorageType::kF32, tensor_cores).backend->explain(40, 40));
}

TEST(CudaBackend, ExplainsWhatRuns) {
  const Names whole = {"input: f32 in place, u8 normalised", "conv0+pool1: f32_conv_16x1_pooled_cuda",
                       "fire2: f32_fire_16x1_cuda", "conv3: f32_conv_16x1_cuda",
                       "average4: f32_average_cuda"};
  const Names apart = {
      whole[0], whole[1], "fire2/squeeze: f32_conv_16x1_cuda", "fire2/expand: f32_conv_16x1_cuda",
      whole[3], whole[4]};
  EXPECT_EQ(kernels_of(PlanPolicy::kWhole, false), whole);
  EXPECT_EQ(kernels_of(PlanPolicy::kApart, false), apart);
}

TEST(CudaBackend, ExplainsWhatRunsOnTensorCores) {
  const Names whole = {"input: f32 to quads, u8 normalised", "conv0+pool1: f32_conv_mma_pooled_cuda",
                       "fire2: f32_fire_mma_cuda", "conv3: f32_conv_mma_cuda", "average4: f32_average_cuda"};
  const Names apart = {
      whole[0], whole[1], "fire2/squeeze: f32_conv_mma_cuda", "fire2/expand: f32_conv_mma_cuda",
      whole[3], whole[4]};
  EXPECT_EQ(kernels_of(PlanPolicy::kWhole, true), whole);
  EXPECT_EQ(kernels_of(PlanPolicy::kApart, true), apart);
}

// The input lies in quads, which an addition does not read.
TEST(CudaBackend, UsesTensorCoresOnlyWhereTheDeviceAndTheNetAdmitThem) {
  NetBuilder bypass(2, 3);
  bypass.add(-1, bypass.conv(-1, 3, square(1)));
  const auto kernel = [](const std::shared_ptr<const Model>& model, bool device_has_them) {
    constexpr int64_t kMemory = 1 << 30;
    const auto runtime = std::make_shared<EmulatedRuntime>(4, kMemory, device_has_them);
    return CudaBackend(model, runtime, PlanPolicy::kApart).explain(40, 40)[1].kernel;
  };
  EXPECT_EQ(kernel(small_model(), true), "f32_conv_mma_pooled_cuda");
  EXPECT_EQ(kernel(small_model(), false), "f32_conv_16x1_pooled_cuda");
  EXPECT_EQ(kernel(bypass.model(), true), "f32_conv_16x1_cuda");
}

TEST(CudaBackend, ExplainsWhyAndWhatItCosts) {
  for (bool tensor_cores : {false, true}) {
    const auto explain = [&](PlanPolicy policy) {
      return Device(policy, StorageType::kF32, tensor_cores).backend->explain(40, 40);
    };
    const auto whole = explain(PlanPolicy::kWhole), apart = explain(PlanPolicy::kApart);
    const auto says = [](const StepInfo& step, const char* text) {
      return step.why.find(text) != std::string::npos ? ::testing::AssertionSuccess()
                                                      : ::testing::AssertionFailure() << step.why;
    };
    EXPECT_TRUE(says(whole[0], "; emulator"));
    EXPECT_EQ(whole[2].macs, apart[2].macs + apart[3].macs);
    EXPECT_GE(whole[2].macs_run, whole[2].macs);
    EXPECT_EQ(whole[2].output, (Shape{35, 9, 9}));
    EXPECT_TRUE(says(whole[2], " splits, squeeze in shared memory: "));
    if (tensor_cores) {
      // 5 channels of the squeeze are two quads, at one and at nine positions of the expands' two blocks each.
      EXPECT_TRUE(says(whole[2], "dense; 6 steps of 4 quads by 32 channels, 40 quads live; "));
      EXPECT_TRUE(says(apart[2], "dense; 2 steps of 4 quads by 16 channels, 5 quads live; a warp has "));
    } else {
      EXPECT_TRUE(says(whole[2], "dense; 1 tiles of 9x9 in "));
      EXPECT_EQ(apart[2].why, "dense; 1 pixel a thread");
    }
  }
}

// Those of one image, which a batch may compute in other steps.
TEST(CudaBackend, TimesEachStep) {
  Device device;
  const Images input = images(64, 70, 24);
  constexpr double kUntouched = -1;
  std::vector<double> seconds(device.backend->explain(64, 70).size());
  const size_t steps = seconds.size();
  seconds.resize(steps + 5, kUntouched);
  std::vector<float> output(24 * kClasses);
  device.backend->run(input.batch(), output.data(), seconds.data());
  for (size_t s = 0; s < seconds.size(); ++s) {
    if (s < steps) {
      EXPECT_GT(seconds[s], 0) << s;
    } else {
      EXPECT_EQ(seconds[s], kUntouched) << s;
    }
  }
  EXPECT_TRUE(all_equal(output, device.run(input.batch())));
}

class CudaStorage : public ::testing::Test {
 protected:
  static constexpr PlanPolicy kPolicy = PlanPolicy::kWhole;
  Device floats_{kPolicy}, halves_{kPolicy, StorageType::kF16};
};

TEST_F(CudaStorage, RoundsAndNoMore) {
  const Images input = images(24, 30, 3, PixelFormat::kU8Nhwc);
  const auto exact = floats_.run(input.batch()), rounded = halves_.run(input.batch());
  EXPECT_FALSE(all_equal(rounded, exact));
  float largest = 0;
  for (float value : exact) largest = std::max(largest, std::abs(value));
  for (size_t k = 0; k < exact.size(); ++k) EXPECT_NEAR(rounded[k], exact[k], 0.01f * largest) << k;
}

// Nothing is launched by itself, and the ends of a recording stay where they were.
TEST_F(CudaStorage, RunsOneRecordingAndAllocatesNothingOnceItIsPrepared) {
  halves_.backend->prepare(24, 30, 3);
  const int allocations = halves_.runtime->allocations;
  for (PixelFormat format : {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc}) {
    halves_.runtime->replays = halves_.runtime->launches = halves_.runtime->updates = 0;
    halves_.run(images(24, 30, 3, format).batch());
    EXPECT_EQ(halves_.runtime->replays, 1);
    EXPECT_EQ(halves_.runtime->launches, 0);
    EXPECT_EQ(halves_.runtime->updates, 0);
  }
  EXPECT_EQ(halves_.runtime->allocations, allocations);
}

TEST_F(CudaStorage, TakesHalfOfTheMemory) {
  EXPECT_EQ(2 * halves_.backend->memory(300, 200).activations, floats_.backend->memory(300, 200).activations);
  const size_t weights[] = {floats_.runtime->allocated(), halves_.runtime->allocated()};
  EXPECT_LT(weights[1], weights[0]);
  for (Device* device : {&floats_, &halves_}) device->backend->prepare(300, 200, 4);
  EXPECT_LT(halves_.runtime->allocated(), floats_.runtime->allocated());
}

TEST_F(CudaStorage, IsExplainedAndTimed) {
  const Device planar(kPolicy, StorageType::kF16, false);
  EXPECT_EQ(kernels_of(planar.backend->explain(40, 40)),
            (Names{"input: f32 to f16, u8 normalised", "conv0+pool1: f16_conv_16x1_pooled_cuda",
                   "fire2: f16_fire_16x1_cuda", "conv3: f16_conv_16x1_cuda", "average4: f16_average_cuda",
                   "output: f16 to f32"}));
  EXPECT_EQ(kernels_of(halves_.backend->explain(40, 40)),
            (Names{"input: f32 to f16, u8 normalised", "conv0+pool1: f16_conv_mma_pooled_cuda",
                   "fire2: f16_fire_mma_cuda", "conv3: f16_conv_mma_cuda", "average4: f16_average_cuda"}))
      << "the average writes the caller's floats";
  for (const Device* device : std::initializer_list<const Device*>{&planar, &halves_}) {
    const size_t steps = device->backend->explain(40, 40).size();
    std::vector<double> seconds(steps + 1);
    std::vector<float> output(kClasses);
    device->backend->run(images(40, 40, 1).batch(), output.data(), seconds.data());
    for (size_t s = 0; s < steps; ++s) EXPECT_GT(seconds[s], 0) << s;
    EXPECT_EQ(seconds.back(), 0);
  }
}

TEST_F(CudaStorage, NamesTheFirstValueThatIsNotFinite) {
  Images input = images(20, 24, 2);
  input.floats().back() = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(throws<InvalidArgument>([&] { halves_.run(input.batch()); }, "batch: image 1, channel 2"));
}

// What f16 does not hold is not what the file says.
TEST_F(CudaStorage, RefusesWeightsThatAreTooLarge) {
  ConvSource source;
  source.out_channels = source.in_channels = 1;
  source.weight = {70000};
  const EncodedConv conv = encode(source);
  const PackedConvs packed = pack({&conv.description});
  Parcel parcel;
  EXPECT_NO_THROW(DeviceConvs(packed, StorageType::kF32, parcel));
  EXPECT_TRUE(throws<InvalidArgument>([&] { DeviceConvs(packed, StorageType::kF16, parcel); },
                                      "storage: a weight is 70000"));
}

TEST(CudaOrdinal, IsTheNumberOfTheDevice) {
  EXPECT_EQ(cuda_ordinal("cuda"), 0);
  EXPECT_EQ(cuda_ordinal("cuda:0"), 0);
  EXPECT_EQ(cuda_ordinal("cuda:12"), 12);
  for (const char* name :
       {"", "c", "cpu", "cudax", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda: 1", "cuda:1234"}) {
    EXPECT_EQ(cuda_ordinal(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace squish::cuda
