#include "squish/session.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "allocations.h"
#include "squish/error.h"
#include "support/check_net.h"
#include "support/expected.h"
#include "support/net_builder.h"
#include "support/throws.h"

namespace squish {
namespace {

using testing::all_equal;
using testing::Images;
using testing::NetBuilder;
using testing::run;
using testing::session_options;
using testing::square;
using testing::throws;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// One of everything: a fused and a lone pool, both kinds of addition, tiles, a head.
std::shared_ptr<const Model> varied_model() {
  NetBuilder net(1, 3);
  net.max_pool(net.conv(-1, 20, square(3, 2)), square(3, 2), true);
  const int first = net.fire(1, {24, 17, 40});
  const int bypass = net.add(first, net.fire(first, {24, 17, 40}));
  const int apart = net.add(bypass, net.fire(bypass, {8, 40, 17}), true);
  net.global_average_pool(net.conv(net.max_pool(apart, square(2, 2)), 10, square(1)));
  return net.model();
}

Images images(int height, int width, int64_t count = 3, PixelFormat format = PixelFormat::kF32Nchw) {
  return Images(format, count, {3, height, width}, static_cast<uint32_t>(height * 1000 + width));
}

std::vector<float> fresh_run(const std::shared_ptr<const Model>& model, const Images& input,
                             int threads = 1) {
  Session session(model, session_options("", threads));
  return run(session, input.batch());
}

TEST(Session, RejectsBadOptions) {
  const auto model = varied_model();
  EXPECT_TRUE(throws<InvalidArgument>([] { Session session(nullptr); }, "model: got none"));
  for (int threads : {0, -1, std::numeric_limits<int>::min()}) {
    EXPECT_TRUE(throws<InvalidArgument>([&] { Session session(model, session_options("", threads)); },
                                        "threads: got " + std::to_string(threads) + ", must be at least 1"));
  }
  SessionOptions options;
  options.device = "abacus";
  EXPECT_TRUE(throws<DeviceError>([&] { Session session(model, options); },
                                  "device: got 'abacus', this build has 'cpu'"));
}

TEST(Session, RejectsStorageThatTheDeviceHasNot) {
  for (const char* device : {"cpu", "reference"}) {
    SessionOptions options;
    options.device = device;
    options.storage = "f16";
    EXPECT_TRUE(
        throws<InvalidArgument>([&] { Session session(varied_model(), options); },
                                "storage: got 'f16', device '" + options.device + "' has 'f32' and 'i8'"));
    options.storage = "f8";
    EXPECT_TRUE(throws<InvalidArgument>([&] { Session session(varied_model(), options); },
                                        "storage: got 'f8', wanted 'auto', 'f32', 'f16' or 'i8'"));
  }
}

// Seen before there need be a device.
TEST(Session, RejectsIntegersOnCudaForFilesThatAreNotMadeForThem) {
  SessionOptions options;
  options.device = "cuda";
  options.storage = "i8";
  try {
    Session session(varied_model(), options);
    FAIL() << "took a file that is not made for integers";
  } catch (const DeviceError& error) {
    GTEST_SKIP() << error.what();  // a build without CUDA
  } catch (const InvalidArgument& error) {
    EXPECT_EQ(
        std::string(error.what()).find("storage: got 'i8', the file is not made for integer arithmetic: "),
        0u)
        << error.what();
  }
}

TEST(Session, OnlyCudaIsTuned) {
  for (const char* device : {"cpu", "reference"}) {
    SessionOptions options;
    options.device = device;
    options.tune = true;
    EXPECT_TRUE(throws<InvalidArgument>([&] { Session session(varied_model(), options); },
                                        std::string("tune: device '") + device + "' is not tuned"));
  }
}

TEST(Session, ReferenceRejectsOptionsThatItWouldIgnore) {
  SessionOptions threads = session_options("", 2), isa = session_options("scalar");
  threads.device = isa.device = "reference";
  EXPECT_TRUE(throws<InvalidArgument>([&] { Session session(varied_model(), threads); },
                                      "threads: got 2, device 'reference' computes on 1"));
  EXPECT_TRUE(throws<InvalidArgument>([&] { Session session(varied_model(), isa); },
                                      "isa: got 'scalar', device 'reference' has no instruction sets"));
}

// In builds with CUDA and in others: a program that asks for a device that is not there goes on without it.
TEST(Session, RejectsADeviceThatIsNotHere) {
  for (const char* device : {"cuda:999", "cuda:x", "cuda:-1"}) {
    SessionOptions options;
    options.device = device;
    EXPECT_TRUE(throws<DeviceError>([&] { Session session(varied_model(), options); }, device));
  }
  const Images input = images(24, 24);
  Session session(varied_model());
  EXPECT_EQ(run(session, input.batch()), fresh_run(varied_model(), input));
}

TEST(Session, PreparesForBatches) {
  Session session(varied_model());
  EXPECT_NO_THROW(session.prepare(24, 24, 5));
  EXPECT_TRUE(throws<InvalidArgument>([&] { session.prepare(24, 24, 0); }, "batch: got 0 images"));
}

TEST(Session, HasNoMemoryForImagesThatPointersDoNotReach) {
  if (sizeof(void*) > 4) GTEST_SKIP() << "pointers of 64 bits reach them";
  NetBuilder net(1, 3);
  const int a = net.conv(-1, 1024, square(1)), b = net.conv(a, 1024, square(1));
  net.add(a, net.conv(b, 1024, square(1)));
  Session session(net.model());
  // Three activations live together, of 2^32 floats and a few: cut to 32 bits that would be few.
  EXPECT_THROW(session.prepare(1183, 1183), std::bad_alloc);
  EXPECT_NO_THROW(session.prepare(24, 24));
}

TEST(Session, RejectsBadBatches) {
  Session session(varied_model());
  const Images input = images(24, 24);
  std::vector<float> output(3 * 10);
  ImageBatch empty = input.batch(), negative = empty, null = empty;
  empty.count = 0;
  negative.count = -1;
  null.data = nullptr;
  const auto running = [&](const ImageBatch& batch, float* out) {
    return [=, &session] { session.run(batch, out); };
  };
  EXPECT_TRUE(throws<InvalidArgument>(running(empty, output.data()), "batch: got 0 images"));
  EXPECT_TRUE(throws<InvalidArgument>(running(negative, output.data()), "batch: got -1 images"));
  EXPECT_TRUE(throws<InvalidArgument>(running(null, output.data()), "batch: input is null"));
  EXPECT_TRUE(throws<InvalidArgument>(running(input.batch(), nullptr), "batch: output is null"));
  EXPECT_TRUE(throws<InvalidArgument>([&] { session.profile(input.batch(), 0); }, "iterations: got 0"));
  EXPECT_TRUE(throws<InvalidArgument>([&] { session.profile(empty, 1); }, "batch: got 0 images"));
  EXPECT_TRUE(throws<InvalidArgument>([&] { session.profile(null, 1); }, "batch: input is null"));
}

TEST(Session, RejectsSizesThatTheNetDoesNotAdmit) {
  for (const char* device : {"cpu", "reference"}) {
    SessionOptions options;
    options.device = device;
    Session session(varied_model(), options);
    EXPECT_TRUE(throws<InvalidArgument>([&] { session.prepare(2, 24); }, "layer 0 'conv0' gets 2x24"));
    EXPECT_TRUE(throws<InvalidArgument>([&] { session.prepare(24, 0); }, "each side must be 1 to 1048576"));
    EXPECT_TRUE(throws<InvalidArgument>([&] { session.explain(24, -5); }, "each side must be 1 to 1048576"));
  }
  Session session(varied_model());
  EXPECT_TRUE(throws<InvalidArgument>([&] { session.memory(1, 1); }, "too small for the net"));
}

// What an image would take can be asked for before there is memory for it.
TEST(Session, SaysWhatItNeedsWithoutAllocatingIt) {
  Session session(varied_model(), session_options("", 8));
  const testing::AllocationCounter counter;
  EXPECT_GT(session.memory(4000, 4000).activations, int64_t{1} << 29);
  session.explain(4000, 3000);
  EXPECT_LT(counter.bytes(), 1 << 20);
}

// A size that a caller may have read from a file must not cost memory before it is refused.
TEST(Session, RejectsHugeSizesWithoutAllocatingForThem) {
  Session session(varied_model());
  for (int extent : {30000, 1 << 20, std::numeric_limits<int>::max()}) {
    const testing::AllocationCounter counter;
    EXPECT_THROW(session.prepare(extent, extent), InvalidArgument);
    EXPECT_LT(counter.bytes(), 1 << 20);
  }
  EXPECT_EQ(run(session, images(24, 24).batch()), fresh_run(varied_model(), images(24, 24)));
}

TEST(Session, NamesTheFirstValueThatIsNotFinite) {
  for (const char* device : {"cpu", "reference"}) {
    for (int threads : {1, 3}) {
      SessionOptions options = session_options("", threads);
      options.device = device;
      if (options.device == "reference") options.threads = 1;
      Session session(varied_model(), options);
      for (float bad : {kNaN, kInfinity, -kInfinity}) {
        Images input = images(20, 24);
        input.floats()[((1 * 3 + 2) * 20 + 7) * 24 + 11] = bad;
        input.floats().back() = bad;
        EXPECT_TRUE(throws<InvalidArgument>([&] { run(session, input.batch()); },
                                            "batch: image 1, channel 2, row 7, column 11: got "))
            << device;
      }
      EXPECT_TRUE(all_equal(run(session, images(20, 24).batch()), run(session, images(20, 24).batch())))
          << "works after an error";
    }
  }
}

TEST(Session, FindsWhatIsNotFiniteAtEveryPlace) {
  NetBuilder in_place(1, 2), copied(1, 2);
  in_place.conv(-1, 4, square(1));
  copied.conv(-1, 4, square(3, 1, 1));
  for (const auto* net : {&in_place, &copied}) {
    Session session(net->model(), session_options("", 3));
    Images input(PixelFormat::kF32Nchw, 4, {2, 3, 5}, 1);
    for (float& value : input.floats()) {
      const float good = std::exchange(value, kNaN);
      EXPECT_THROW(run(session, input.batch()), InvalidArgument);
      value = good;
    }
    EXPECT_NO_THROW(run(session, input.batch()));
  }
}

TEST(Session, RunAllocatesNothing) {
  const auto model = varied_model();
  for (PixelFormat format : {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc}) {
    for (int threads : {1, 3}) {
      Session session(model, session_options("", threads));
      session.prepare(33, 40);
      session.prepare(40, 33);
      const Images a = images(33, 40, 4, format), b = images(40, 33, 4, format);
      std::vector<float> output(4 * 10);
      const testing::AllocationCounter counter;
      for (int i = 0; i < 3; ++i) {
        session.run(a.batch(), output.data());
        session.run(b.batch(), output.data());
      }
      EXPECT_EQ(counter.count(), 0) << threads << " threads";
    }
  }
}

// The plans of the last kMaxPlans = 4 sizes are kept: a fifth is planned again when it comes back.
TEST(Session, RunAllocatesNothingForTheLastFourSizes) {
  Session session(varied_model());
  const int extents[] = {24, 28, 32, 40, 36};
  std::vector<float> output(10);
  const auto allocations = [&](int extent) {
    const Images image = images(extent, extent, 1);
    const testing::AllocationCounter counter;
    session.run(image.batch(), output.data());
    return counter.count();
  };
  for (int extent : extents) EXPECT_GT(allocations(extent), 0);
  for (int extent : {28, 32, 40, 36}) EXPECT_EQ(allocations(extent), 0) << extent;
  EXPECT_GT(allocations(24), 0) << "five sizes";
}

TEST(Session, KeepsItsResultsWhateverSizesComeBetween) {
  const auto model = varied_model();
  for (int threads : {1, 2}) {
    Session session(model, session_options("", threads));
    // More sizes than plans are kept, growing and shrinking.
    const int sizes[][2] = {{24, 24}, {33, 41}, {24, 24}, {17, 80}, {64, 23}, {33, 41},
                            {19, 19}, {20, 20}, {21, 21}, {24, 24}, {64, 23}, {17, 80}};
    for (const auto& size : sizes) {
      const Images input = images(size[0], size[1]);
      EXPECT_TRUE(all_equal(run(session, input.batch()), fresh_run(model, input)))
          << size[0] << "x" << size[1];
    }
  }
}

TEST(Session, SessionsOnTwoThreadsShareAModel) {
  const auto model = varied_model();
  const Images input = images(40, 40, 2);
  const auto wanted = fresh_run(model, input);
  std::vector<float> got[2];
  const auto work = [&](int k) {
    Session session(model, session_options("", 1 + k));
    for (int i = 0; i < 20; ++i) got[k] = run(session, input.batch());
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  EXPECT_TRUE(all_equal(got[0], wanted));
  EXPECT_TRUE(all_equal(got[1], wanted));
}

TEST(Session, MovesWithItsThreads) {
  const auto model = varied_model();
  const Images input = images(24, 24);
  Session first(model, session_options("", 3));
  run(first, input.batch());
  Session second(std::move(first));
  first = Session(model);
  EXPECT_TRUE(all_equal(run(second, input.batch()), run(first, input.batch())));
  EXPECT_EQ(second.options().threads, 3);
  EXPECT_EQ(&second.model(), model.get());
}

TEST(Session, KeepsTheModelAlive) {
  std::weak_ptr<const Model> watch;
  {
    auto model = varied_model();
    watch = model;
    Session session(std::move(model));
    EXPECT_EQ(run(session, images(24, 24).batch()).size(), 30u);
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Session, ExplainsOneStepAnOp) {
  Session session(varied_model());
  const auto steps = session.explain(40, 33);
  std::vector<std::string> layers;
  for (const StepInfo& step : steps) layers.push_back(step.layer);
  EXPECT_EQ(layers, (std::vector<std::string>{"input", "conv0+pool1", "fire2/squeeze", "fire2/expand",
                                              "fire3/squeeze", "fire3/expand", "add4", "fire5/squeeze",
                                              "fire5/expand", "add6", "pool7", "conv8+average9", "output"}));
  EXPECT_EQ(steps[1].macs, 19 * 16 * 20 * 27) << "conv0 gives 19x16 pixels";
  EXPECT_EQ(steps[1].output, (Shape{20, 9, 8}));
  EXPECT_EQ(steps.back().output, (Shape{10, 1, 1}));
  const std::string isa = "_" + session.isa();
  EXPECT_EQ(steps[1].kernel, "f32_cluster_16x1" + isa);
  EXPECT_EQ(steps[3].kernel, "f32_cluster_16x1+winograd_2x2" + isa);
  EXPECT_EQ(steps[6].kernel, "f32_add" + isa);
  EXPECT_EQ(steps[9].kernel, "f32_add_by_channel");
  for (const StepInfo& step : steps) EXPECT_EQ(step.seconds, 0);
}

TEST(Session, ProfileTimesTheStepsThatExplainNames) {
  for (int threads : {1, 3}) {
    Session session(varied_model(), session_options("", threads));
    const auto steps = session.profile(images(40, 33).batch(), 2);
    const auto explained = session.explain(40, 33);
    ASSERT_EQ(steps.size(), explained.size());
    double total = 0;
    for (size_t k = 0; k < steps.size(); ++k) {
      EXPECT_EQ(steps[k].layer, explained[k].layer);
      EXPECT_TRUE(std::isfinite(steps[k].seconds) && steps[k].seconds >= 0);
      total += steps[k].seconds;
    }
    EXPECT_GT(total, 0);
  }
}

// Beside what operator new was asked for, of all that the model and the session keep.
TEST(Session, MemoryIsWhatItHolds) {
  for (const char* storage : {"f32", "i8"}) {
    for (int threads : {1, 3}) {
      const testing::AllocationCounter counter;
      NetBuilder net(1, 3);
      const testing::ConvStyle style{true, 0.7, true, WeightType::kI8};
      int layer = net.conv(-1, 64, square(3, 2), style);
      for (int k = 0; k < 3; ++k) layer = net.fire(layer, {64, 128, 128}, style);
      net.max_pool(layer, square(3, 2));
      net.hold_in_bytes();
      const auto model = net.model();
      const int64_t builder = counter.held_bytes() - static_cast<int64_t>(model->memory_bytes());
      SessionOptions options = session_options("", threads);
      options.storage = storage;
      Session session(model, options);
      session.prepare(80, 70);
      const MemoryUse memory = session.memory(80, 70);
      const int64_t held = counter.held_bytes() - builder;
      EXPECT_LE(memory.total(), held) << storage;
      EXPECT_GE(memory.total(), held - held / 20) << storage;
      EXPECT_GT(memory.weights, 0);
      EXPECT_GT(memory.scratch, 0);
    }
  }
}

TEST(Session, ArenaIsWhatThePlanNeeds) {
  NetBuilder net(1, 3);
  net.conv(net.conv(-1, 16, square(1)), 16, square(1));
  Session session(net.model());
  // Both convolutions' outputs live together; the input is read where it is but uint8 needs 3 planes.
  EXPECT_EQ(session.memory(8, 8).activations, 2 * 16 * 64 * 4);
  EXPECT_EQ(session.memory(16, 8).activations, 2 * 2 * 16 * 64 * 4);
}

}  // namespace
}  // namespace squish
