// The CUDA backend in integer arithmetic on an emulated device: recordings, streams and memory are as with floats.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "allocations.h"
#include "cuda/cuda_backend.h"
#include "squish/error.h"
#include "support/emulated_runtime.h"
#include "support/expected.h"
#include "support/image.h"
#include "support/net_builder.h"
#include "support/throws.h"

namespace squish::cuda {
namespace {

using emulator::take_turns;
using testing::all_equal;
using testing::AllocationCounter;
using testing::ConvStyle;
using testing::Images;
using testing::NetBuilder;
using testing::square;
using testing::throws;

constexpr int kClasses = 5;
constexpr PixelFormat kFormats[] = {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc};

// Ends in an average, which writes the caller's floats, or in a pool, whose results are written by a step of their own.
std::shared_ptr<const Model> small_model(bool ends_in_pool = false) {
  constexpr ConvStyle kI8{true, 1, false, WeightType::kI8};
  NetBuilder net(3, 3);
  const int stem = net.max_pool(net.conv(-1, 11, square(3, 1, 1), kI8), square(3, 2), true);
  net.conv(net.add(stem, net.fire(stem, {4, 5, 6}, kI8), true), kClasses, square(1), kI8);
  ends_in_pool ? net.max_pool(net.last(), square(2, 2), true) : net.global_average_pool(net.last());
  net.hold_in_bytes();
  return net.model();
}

Images images(int extent, int64_t count, PixelFormat format = PixelFormat::kF32Nchw) {
  return Images(format, count, {3, extent, extent}, static_cast<uint32_t>(extent));
}

struct Device {
  explicit Device(std::shared_ptr<const Model> of = small_model()) : model(std::move(of)) {
    auto emulated = std::make_shared<EmulatedRuntime>();
    runtime = emulated.get();
    backend =
        std::make_unique<CudaBackend>(model, std::move(emulated), PlanPolicy::kModelled, StorageType::kI8);
  }
  std::vector<float> run(const ImageBatch& batch, double* seconds = nullptr) {
    std::vector<float> output(static_cast<size_t>(outputs(batch)));
    backend->run(batch, output.data(), seconds);
    return output;
  }
  int64_t outputs(const ImageBatch& batch) const {
    return batch.count * model->output_shape(batch.height, batch.width).elements();
  }

  std::shared_ptr<const Model> model;
  EmulatedRuntime* runtime;
  std::unique_ptr<CudaBackend> backend;
};

// A batch and its output in the memory of a device.
struct DeviceBatch {
  DeviceBatch(Device& device, const ImageBatch& host) : batch(host), outputs(device.outputs(host)) {
    const auto bytes = static_cast<size_t>(host.count * image_bytes(host, 3));
    pixels = device.backend->allocate(bytes);
    std::memcpy(pixels->data(), host.data, bytes);
    batch.data = pixels->data();
    logits = device.backend->allocate(static_cast<size_t>(outputs) * sizeof(float));
  }
  float* output() const { return static_cast<float*>(logits->data()); }
  std::vector<float> values() const { return {output(), output() + outputs}; }

  ImageBatch batch;
  int64_t outputs;
  std::unique_ptr<DeviceBuffer> pixels, logits;
};

// Nothing is launched by itself, and the ends of a recording stay where they were.
TEST(CudaIntegerBackend, RunsOneRecordingAndAllocatesNothingOnceItIsPrepared) {
  Device device;
  device.backend->prepare(24, 24, 3);
  const int allocations = device.runtime->allocations, recordings = device.runtime->recordings;
  for (PixelFormat format : kFormats) {
    device.runtime->replays = device.runtime->launches = device.runtime->updates = 0;
    device.run(images(24, 3, format).batch());
    EXPECT_EQ(device.runtime->replays, 1);
    EXPECT_EQ(device.runtime->launches, 0);
    EXPECT_EQ(device.runtime->updates, 0);
  }
  EXPECT_EQ(device.runtime->allocations, allocations);
  EXPECT_EQ(device.runtime->recordings, recordings);
}

TEST(CudaIntegerBackend, KeepsItsResultsWhateverSizesComeBetween) {
  Device device;
  const Images first = images(24, 2);
  const auto wanted = device.run(first.batch());
  for (int extent : {11, 40, 13, 25, 31, 9, 10, 12, 17}) device.run(images(extent, 3).batch());
  EXPECT_TRUE(all_equal(device.run(first.batch()), wanted));
}

TEST(CudaIntegerBackend, StaysUsableWhenMemoryRunsOut) {
  Device device;
  const Images small = images(24, 2), large = images(60, 8);
  const auto wanted = device.run(small.batch());
  device.runtime->limit = device.runtime->allocated() + 1000;
  EXPECT_TRUE(throws<DeviceError>([&] { device.run(large.batch()); }, "out of memory"));
  EXPECT_TRUE(all_equal(device.run(small.batch()), wanted));
}

TEST(CudaIntegerBackend, ReadsAndWritesTheCallersMemoryOnTheirStreams) {
  for (bool ends_in_pool : {false, true}) {
    for (PixelFormat format : kFormats) {
      Device device(small_model(ends_in_pool));
      const Images host = images(15, 3, format);
      const auto wanted = Device(small_model(ends_in_pool)).run(host.batch());
      const DeviceBatch one(device, host.batch()), other(device, host.batch());
      device.backend->prepare(15, 15, 3);
      const int allocations = device.runtime->allocations, recordings = device.runtime->recordings,
                synchronisations = device.runtime->synchronisations;
      emulator::Stream stream, second, nowhere(emulator::Stream::Work::kDropped);
      device.backend->enqueue(one.batch, one.output(), &stream);
      EXPECT_EQ(device.runtime->updates, 2) << "what reads the input, and what writes the output";
      device.backend->enqueue(other.batch, other.output(), &second);
      EXPECT_TRUE(std::isnan(one.output()[0])) << "it is still to be done";
      const AllocationCounter counter;
      device.backend->enqueue(other.batch, other.output(), &nowhere);
      EXPECT_EQ(counter.count(), 0)
          << "ends that stay, on a stream that drops its work: the emulator has none of its own";
      EXPECT_EQ(device.runtime->allocations, allocations);
      EXPECT_EQ(device.runtime->recordings, recordings);
      EXPECT_EQ(device.runtime->synchronisations, synchronisations);
      take_turns({&stream, &second});
      EXPECT_TRUE(all_equal(one.values(), wanted));
      EXPECT_TRUE(all_equal(other.values(), wanted));
      EXPECT_EQ(std::memcmp(one.pixels->data(), host.batch().data,
                            static_cast<size_t>(3 * image_bytes(host.batch(), 3))),
                0);
    }
  }
}

TEST(CudaIntegerBackend, TellsOfEnqueuedValuesThatAreNotFinite) {
  Device device;
  Images input = images(15, 2);
  input.floats()[700] = std::numeric_limits<float>::infinity();
  const DeviceBatch there(device, input.batch());
  device.backend->enqueue(there.batch, there.output(), nullptr);
  EXPECT_TRUE(throws<InvalidArgument>([&] { device.backend->synchronise(); }, "is not finite"));
  EXPECT_NO_THROW(device.backend->synchronise());
}

TEST(CudaIntegerBackend, TimesEachStep) {
  for (bool ends_in_pool : {false, true}) {
    Device device(small_model(ends_in_pool));
    const auto steps = device.backend->explain(24, 24);
    EXPECT_EQ(steps.back().layer, ends_in_pool ? "output" : steps.back().layer);
    const Images input = images(24, 2);
    std::vector<double> seconds(steps.size() + 1);
    EXPECT_TRUE(all_equal(device.run(input.batch(), seconds.data()), device.run(input.batch())));
    for (size_t s = 0; s < steps.size(); ++s) EXPECT_GT(seconds[s], 0) << s;
    EXPECT_EQ(seconds.back(), 0);
  }
}

}  // namespace
}  // namespace squish::cuda
