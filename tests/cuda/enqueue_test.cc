// Runs on memory of the device, on the caller's streams: what is copied, waited for, allocated; in which order things
// happen when several streams go on at once; and what is left after something failed.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "allocations.h"
#include "cuda/cuda_backend.h"
#include "squish/error.h"
#include "support/emulated_runtime.h"
#include "support/expected.h"
#include "support/image.h"
#include "support/net_builder.h"
#include "support/reference_output.h"
#include "support/throws.h"

namespace squish::cuda {
namespace {

using emulator::take_turns;
using testing::all_equal;
using testing::all_within;
using testing::AllocationCounter;
using testing::Images;
using testing::NetBuilder;
using testing::square;
using testing::throws;

constexpr int kClasses = 5;

// A stem, a bypass around a Fire, a head: steps that touch the caller's memory, steps that do not, and, as the last add
// reads it, the input once more in the middle.
std::shared_ptr<const Model> small_model() {
  NetBuilder net(3, 3);
  net.add(-1, net.conv(net.conv(-1, 8, square(3, 1, 1)), 3, square(1)));
  const int stem = net.conv(net.last(), 11, square(3, 2));
  net.add(stem, net.fire(stem, {4, 5, 6}), true);
  net.global_average_pool(net.conv(net.last(), kClasses, square(1)));
  return net.model();
}

Images images(int extent, int64_t count, PixelFormat format = PixelFormat::kF32Nchw, uint32_t seed = 1) {
  return Images(format, count, {3, extent, extent}, seed);
}

// A session's device, and a caller who has arrays on it.
class Device {
 public:
  explicit Device(PlanPolicy policy = PlanPolicy::kModelled,
                  std::shared_ptr<const Model> model = small_model())
      : model_(std::move(model)) {
    auto emulated = std::make_shared<EmulatedRuntime>();
    runtime = emulated.get();
    backend = std::make_unique<CudaBackend>(model_, std::move(emulated), policy);
  }

  void enqueue(const ImageBatch& batch, float* output, Stream stream) {
    backend->enqueue(batch, output, stream);
  }
  std::vector<float> run(const ImageBatch& batch) {
    std::vector<float> output(static_cast<size_t>(outputs(batch)));
    backend->run(batch, output.data(), nullptr);
    return output;
  }
  const Model& model() const { return *model_; }
  int64_t outputs(const ImageBatch& batch) const {
    return batch.count * model_->output_shape(batch.height, batch.width).elements();
  }

  EmulatedRuntime* runtime;
  std::unique_ptr<CudaBackend> backend;

 private:
  std::shared_ptr<const Model> model_;
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

TEST(CudaEnqueue, AgreesWithTheReference) {
  for (const PixelFormat format : {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc}) {
    for (const PlanPolicy policy : {PlanPolicy::kWhole, PlanPolicy::kApart}) {
      Device device(policy);
      const Images host = images(15, 2, format);
      const DeviceBatch there(device, host.batch());
      emulator::Stream stream;
      device.enqueue(there.batch, there.output(), &stream);
      device.backend->synchronise();
      EXPECT_TRUE(
          all_within(there.output(), testing::reference_output(device.model(), host.part(0, 1), false)));
      EXPECT_TRUE(all_equal(there.values(), device.run(host.batch())));
    }
  }
}

TEST(CudaEnqueue, CopiesNothingAllocatesNothingAndWaitsForNothing) {
  for (const PixelFormat format : {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc}) {
    Device device;
    const DeviceBatch there(device, images(15, 3, format).batch());
    device.backend->prepare(15, 15, 3);
    EmulatedRuntime& runtime = *device.runtime;
    const int allocations = runtime.allocations, recordings = runtime.recordings,
              synchronisations = runtime.synchronisations;
    emulator::Stream stream, nowhere(emulator::Stream::Work::kDropped);
    device.enqueue(there.batch, there.output(), &stream);
    EXPECT_TRUE(std::isnan(there.output()[0])) << "it is still to be done";
    const AllocationCounter counter;
    device.enqueue(there.batch, there.output(), &nowhere);
    EXPECT_EQ(counter.count(), 0) << "the emulator's own are not those of a stream that drops its work";
    EXPECT_EQ(runtime.allocations, allocations);
    EXPECT_EQ(runtime.recordings, recordings);
    EXPECT_EQ(runtime.synchronisations, synchronisations) << "copies wait, too";
    take_turns({&stream});
    EXPECT_FALSE(std::isnan(there.output()[0]));
  }
}

TEST(CudaEnqueue, LeavesTheInputAsItIs) {
  Device device;
  const Images host = images(15, 2);
  const DeviceBatch there(device, host.batch());
  device.enqueue(there.batch, there.output(), nullptr);
  EXPECT_EQ(std::memcmp(there.pixels->data(), host.batch().data, 2 * 3 * 15 * 15 * sizeof(float)), 0);
}

// The streams take turns kernel by kernel, so that two runs would destroy each other's activations.
TEST(CudaEnqueue, RunsOfOneSessionFollowEachOtherWhateverTheirStreams) {
  Device device;
  const Images a = images(15, 2, PixelFormat::kF32Nchw, 1), b = images(15, 2, PixelFormat::kF32Nchw, 2),
               c = images(21, 3, PixelFormat::kU8Nhwc, 3);
  const std::vector<float> wanted_a = device.run(a.batch()), wanted_b = device.run(b.batch()),
                           wanted_c = device.run(c.batch());
  const DeviceBatch there_a(device, a.batch()), there_b(device, b.batch()), there_c(device, c.batch());
  emulator::Stream first, second, third;
  device.enqueue(there_a.batch, there_a.output(), &first);
  device.enqueue(there_b.batch, there_b.output(), &second);
  device.enqueue(there_c.batch, there_c.output(), &third);
  take_turns({&first, &second, &third});
  EXPECT_TRUE(all_equal(there_a.values(), wanted_a));
  EXPECT_TRUE(all_equal(there_b.values(), wanted_b));
  EXPECT_TRUE(all_equal(there_c.values(), wanted_c));
}

// On tensor cores, unlike above, where an addition reads the input. Some ops write the caller's floats themselves, after others
// a step of its own does.
TEST(CudaEnqueue, RunsFindTheirMemoryWhateverTheNetEndsIn) {
  using Tail = int (*)(NetBuilder&, int fire);  // layers behind a Fire
  const Tail tails[] = {
      [](NetBuilder&, int fire) { return fire; },
      [](NetBuilder& net, int fire) { return net.conv(fire, 7, square(3, 1, 1)); },
      [](NetBuilder& net, int fire) { return net.max_pool(fire, square(3, 2)); },
      [](NetBuilder& net, int fire) { return net.max_pool(fire, square(2, 1)); },
      [](NetBuilder& net, int fire) { return net.global_average_pool(fire); },
      [](NetBuilder& net, int fire) { return net.global_average_pool(net.conv(fire, 19, square(1))); },
      [](NetBuilder& net, int fire) { return net.add(fire, net.fire(fire, {3, 6, 5})); }};
  for (const PlanPolicy policy : {PlanPolicy::kWhole, PlanPolicy::kApart}) {
    for (const Tail& tail : tails) {
      NetBuilder net(4, 3);
      const int last = tail(net, net.fire(net.conv(-1, 8, square(3, 2)), {4, 5, 6}));
      SCOPED_TRACE(net.net().layers[static_cast<size_t>(last)].name);
      Device device(policy, net.model());
      const Images a = images(15, 2, PixelFormat::kF32Nchw, 1), b = images(15, 2, PixelFormat::kF32Nchw, 2),
                   c = images(15, 2, PixelFormat::kU8Nhwc, 3);
      const DeviceBatch there_a(device, a.batch()), there_b(device, b.batch()), there_c(device, c.batch());
      emulator::Stream first, second;
      device.enqueue(there_a.batch, there_a.output(), &first);
      device.enqueue(there_b.batch, there_b.output(), &second);
      device.enqueue(there_c.batch, there_c.output(), &first);
      take_turns({&first, &second});
      EXPECT_TRUE(all_equal(there_a.values(), device.run(a.batch())));
      EXPECT_TRUE(all_equal(there_b.values(), device.run(b.batch())));
      EXPECT_TRUE(all_equal(there_c.values(), device.run(c.batch())));
    }
  }
}

// Its images go where the activations of the run before may be: another plan divides the arena in another way.
TEST(CudaEnqueue, RunsOfTheHostsMemoryFollowToo) {
  Device device;
  const Images small = images(15, 1), large = images(31, 8);
  const std::vector<float> wanted_small = device.run(small.batch()), wanted_large = device.run(large.batch());
  const DeviceBatch there(device, small.batch());
  emulator::Stream stream;
  device.enqueue(there.batch, there.output(), &stream);
  stream.step();
  stream.step();
  stream.step();
  EXPECT_TRUE(all_equal(device.run(large.batch()), wanted_large));
  take_turns({&stream});
  EXPECT_TRUE(all_equal(there.values(), wanted_small));
}

TEST(CudaEnqueue, SessionsOfTheirOwnRunSideBySide) {
  Device one, two;
  const Images host = images(15, 2);
  const std::vector<float> wanted = one.run(host.batch());
  const DeviceBatch there_one(one, host.batch()), there_two(two, host.batch());
  emulator::Stream first, second;
  one.enqueue(there_one.batch, there_one.output(), &first);
  two.enqueue(there_two.batch, there_two.output(), &second);
  EXPECT_TRUE(second.step()) << "nothing holds it back";
  take_turns({&first, &second});
  EXPECT_TRUE(all_equal(there_one.values(), wanted));
  EXPECT_TRUE(all_equal(there_two.values(), wanted));
}

TEST(CudaEnqueue, WhatIsPlannedMeanwhileLeavesRunsUnderWayAlone) {
  Device device;
  const Images host = images(15, 2);
  const std::vector<float> wanted = device.run(host.batch());
  const DeviceBatch there(device, host.batch());
  emulator::Stream stream;
  device.enqueue(there.batch, there.output(), &stream);
  device.backend->prepare(64, 64, 4);  // a larger arena
  EXPECT_TRUE(all_equal(there.values(), wanted));
  device.enqueue(there.batch, there.output(), &stream);
  for (int extent = 16; extent < 24; ++extent)
    device.backend->prepare(extent, extent, 1);  // eight other plans
  EXPECT_TRUE(all_equal(there.values(), wanted));
}

TEST(CudaEnqueue, ASessionThatEndsFinishesItsWork) {
  auto device = std::make_unique<Device>();
  auto runtime = std::make_shared<EmulatedRuntime>();
  auto backend = std::make_unique<CudaBackend>(small_model(), runtime);
  const Images host = images(15, 2);
  const std::vector<float> wanted = device->run(host.batch());
  const DeviceBatch there(*device, host.batch());
  emulator::Stream stream;
  device->enqueue(there.batch, there.output(), &stream);
  device.reset();
  EXPECT_TRUE(all_equal(there.values(), wanted)) << "and its buffers outlive it";
}

TEST(CudaEnqueue, LargeBatchesRunInParts) {
  Device device;
  constexpr int64_t kCount = 259;
  const Images many = images(5, kCount);
  const DeviceBatch there(device, many.batch());
  emulator::Stream stream;
  device.enqueue(there.batch, there.output(), &stream);
  take_turns({&stream});
  EXPECT_TRUE(all_equal(there.values(), device.run(many.batch())));
}

TEST(CudaEnqueue, InputThatIsNotFiniteIsSeenBySynchronise) {
  Device device;
  Images bad = images(15, 2);
  bad.floats()[100] = std::numeric_limits<float>::infinity();
  const Images good = images(15, 2);
  const DeviceBatch there_bad(device, bad.batch()), there_good(device, good.batch());
  emulator::Stream stream;
  device.enqueue(there_bad.batch, there_bad.output(), &stream);
  device.enqueue(there_good.batch, there_good.output(), &stream);
  device.run(good.batch());  // looks at its own input alone
  EXPECT_TRUE(throws<InvalidArgument>([&] { device.backend->synchronise(); }, "not finite"));
  EXPECT_NO_THROW(device.backend->synchronise()) << "said once";
  device.enqueue(there_good.batch, there_good.output(), &stream);
  EXPECT_NO_THROW(device.backend->synchronise());
}

TEST(CudaEnqueue, OrdersStreamsOfOthers) {
  Device device;
  emulator::Stream earlier, later;
  std::string happened;
  earlier.add([&] { happened += 'a'; });
  earlier.add([&] { happened += 'b'; });
  const int synchronisations = device.runtime->synchronisations;
  device.backend->order(&later, &earlier);
  earlier.add([&] { happened += 'd'; });
  later.add([&] { happened += 'c'; });
  take_turns({&earlier, &later});
  EXPECT_LT(happened.find('b'), happened.find('c'));
  EXPECT_EQ(device.runtime->synchronisations, synchronisations);
}

TEST(CudaEnqueue, BuffersKnowWhenTheyAreWritten) {
  Device device;
  const auto buffer = device.backend->allocate(4);
  int value = 0;
  auto writer = std::make_unique<emulator::Stream>();
  emulator::Stream reader;
  writer->add([&] { value = 7; });
  buffer->written_on(writer.get());
  writer->add([&] { value = 8; });
  buffer->hold(&reader);
  int seen = 0;
  reader.add([&] { seen = value; });
  EXPECT_FALSE(reader.step());
  writer->step();
  EXPECT_TRUE(reader.step());
  EXPECT_TRUE(reader.step());
  EXPECT_EQ(seen, 7);
  writer.reset();
  EXPECT_NO_THROW(buffer->hold(&reader)) << "though the stream that wrote it is gone";
  device.runtime->captured = &reader;
  EXPECT_TRUE(throws<DeviceError>([&] { buffer->hold(&reader); }, "stream: is being captured"));
  device.runtime->captured = nullptr;
}

TEST(CudaEnqueue, BuffersGoWhenTheDeviceIsDoneWithThem) {
  Device device;
  emulator::Stream stream;
  device.runtime->streams = {&stream};
  auto buffer = device.backend->allocate(4);
  auto* const data = static_cast<int*>(buffer->data());
  int seen = 0;
  *data = 5;
  stream.add([&] { seen = *data; });
  buffer.reset();
  EXPECT_EQ(seen, 5);
}

TEST(CudaEnqueue, RejectsMemoryThatLiesElsewhere) {
  Device device;
  const Images host = images(15, 2);
  const DeviceBatch there(device, host.batch());
  EXPECT_TRUE(throws<InvalidArgument>([&] { device.enqueue(host.batch(), there.output(), nullptr); },
                                      "batch: lies in host memory, wanted memory of cuda:0"));
  std::vector<float> output(2 * kClasses);
  EXPECT_TRUE(throws<InvalidArgument>([&] { device.enqueue(there.batch, output.data(), nullptr); },
                                      "out: lies in host memory, wanted memory of cuda:0"));
  ImageBatch odd = there.batch;
  odd.data = static_cast<const uint8_t*>(odd.data) + 1;
  EXPECT_TRUE(throws<InvalidArgument>([&] { device.enqueue(odd, there.output(), nullptr); },
                                      "batch: float32 values must lie at a multiple of 4 bytes"));
  EXPECT_EQ(device.runtime->launches, 0);
}

TEST(CudaEnqueue, RejectsAStreamThatIsBeingCaptured) {
  Device device;
  const DeviceBatch there(device, images(15, 2).batch());
  emulator::Stream stream;
  device.runtime->captured = &stream;
  const auto enqueue = [&] { device.enqueue(there.batch, there.output(), &stream); };
  EXPECT_TRUE(throws<DeviceError>(enqueue, "stream: is being captured")) << "before memory is asked for";
  EXPECT_TRUE(
      throws<DeviceError>([&] { device.backend->check_stream(&stream); }, "stream: is being captured"));
  EXPECT_TRUE(stream.idle());
  device.runtime->captured = nullptr;
  EXPECT_NO_THROW(enqueue());
}

// Each call to the device in turn is the one that fails, from planning to the end of the run.
TEST(CudaEnqueue, StaysUsableWhateverFails) {
  const Images small = images(15, 2), large = images(33, 3);
  Device whole;
  const std::vector<float> wanted_small = whole.run(small.batch()), wanted_large = whole.run(large.batch());
  int failures = 0;
  for (bool failed = true; failed; ++failures) {
    Device device;
    const DeviceBatch there_small(device, small.batch()), there_large(device, large.batch());
    emulator::Stream first, second;
    device.enqueue(there_small.batch, there_small.output(), &first);
    device.runtime->calls_left = failures;
    failed = false;
    try {
      device.enqueue(there_large.batch, there_large.output(), &second);
    } catch (const DeviceError&) {
      failed = true;
    }
    device.runtime->calls_left = std::numeric_limits<int>::max();
    device.enqueue(there_small.batch, there_small.output(), &first);
    device.enqueue(there_large.batch, there_large.output(), &second);
    take_turns({&first, &second});
    ASSERT_TRUE(all_equal(there_small.values(), wanted_small)) << "call " << failures;
    ASSERT_TRUE(all_equal(there_large.values(), wanted_large)) << "call " << failures;
    ASSERT_TRUE(all_equal(device.run(small.batch()), wanted_small)) << "call " << failures;
  }
  EXPECT_GT(failures, 10);
}

}  // namespace
}  // namespace squish::cuda
