// A session among what else its process does: fork(), other ways to round.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cfenv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "float_environment.h"
#include "format/write.h"
#include "squish/session.h"
#include "support/check_net.h"
#include "support/expected.h"
#include "support/net_builder.h"

#if defined(__has_feature)  // Clang's way of saying it
#define SQUISH_TEST_UNDER_TSAN __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define SQUISH_TEST_UNDER_TSAN 1
#else
#define SQUISH_TEST_UNDER_TSAN 0
#endif

namespace squish {
namespace {

using testing::all_equal;
using testing::Images;
using testing::NetBuilder;
using testing::run;
using testing::session_options;
using testing::square;

std::shared_ptr<const Model> small_model() {
  NetBuilder net(5, 3);
  const int first = net.fire(net.max_pool(net.conv(-1, 20, square(3, 2)), square(3, 2)), {8, 24, 40});
  net.global_average_pool(net.conv(first, 10, square(1)));
  return net.model();
}

Images images() { return Images(PixelFormat::kU8Nhwc, 4, {3, 33, 40}, 7); }

// How the process ended that did this and nothing else: as waitpid() says; 0 is well.
template <typename Task>
int status_of_child(Task&& task) {
  constexpr unsigned kSecondsBeforeItHangs = 60;
  const pid_t child = fork();
  if (child == 0) {
    alarm(kSecondsBeforeItHangs);
    try {
      _exit(task() ? 0 : 1);
    } catch (...) {  // or the child would go on with the other tests
      _exit(2);
    }
  }
  int status = -1;
  EXPECT_NE(child, -1) << "no fork";
  if (child > 0) waitpid(child, &status, 0);
  return status;
}

class Forked : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
#if SQUISH_TEST_UNDER_TSAN
    GTEST_SKIP() << "ThreadSanitizer ends children that start threads";
#endif
  }
  // The threads of the parent spin at first, and sleep later: they hold other things then.
  static void let_workers_spin_or_sleep() {
    std::this_thread::sleep_for(std::chrono::milliseconds(GetParam()));
  }
};
INSTANTIATE_TEST_SUITE_P(AfterMilliseconds, Forked, ::testing::Values(0, 30));

// A server loads its net once and forks.
TEST_P(Forked, ChildStartsThreadsOfItsOwn) {
  auto session = std::make_unique<Session>(small_model(), session_options("", 3));
  const Images input = images();
  const std::vector<float> wanted = run(*session, input.batch());
  let_workers_spin_or_sleep();
  const auto runs_twice_and_ends = [&] {
    const bool first = all_equal(run(*session, input.batch()), wanted);
    const bool second = all_equal(run(*session, input.batch()), wanted);
    session.reset();
    return first && second;
  };
  EXPECT_EQ(status_of_child(runs_twice_and_ends), 0);
  EXPECT_TRUE(all_equal(run(*session, input.batch()), wanted)) << "the parent's threads go on";
}

TEST_P(Forked, ChildThatRunsNothingEndsItsSession) {
  auto session = std::make_unique<Session>(small_model(), session_options("", 3));
  run(*session, images().batch());
  let_workers_spin_or_sleep();
  const auto ends = [&] {
    session.reset();
    return true;
  };
  EXPECT_EQ(status_of_child(ends), 0);
}

// Arithmetic that compilers cannot do at another time.
float sum_of(float a, float b) { return a + b; }
float product_of(float a, float b) { return a * b; }
float (*const volatile add)(float, float) = &sum_of;
float (*const volatile multiply)(float, float) = &product_of;

// What fesetround() chose, of the registers that floats are computed in.
struct Rounded {
  float above = add(1, 1e-10f), below = add(1, -1e-10f);
  bool operator==(const Rounded& o) const { return above == o.above && below == o.below; }
};

TEST(FloatEnvironment, OfTheCallerDoesNotChangeResults) {
  const auto model = small_model();
  const Images input = images();
  for (const char* device : {"cpu", "reference"}) {
    SessionOptions options;
    options.device = device;
    Session usual(model, options);
    const std::vector<float> wanted = run(usual, input.batch());
    for (int threads : {1, 3}) {
      if (options.device == "reference" && threads > 1) continue;
      options.threads = threads;
      for (int rounding : {FE_UPWARD, FE_TOWARDZERO}) {
        std::fesetround(rounding);
        const Rounded before;
        Session session(model, options);
        const std::vector<float> got = run(session, input.batch());
        const Rounded after;
        std::fesetround(FE_TONEAREST);
        EXPECT_TRUE(all_equal(got, wanted)) << device << ", " << threads << " threads";
        EXPECT_FALSE(before == Rounded()) << "another one than usual";
        EXPECT_TRUE(before == after) << "the caller's own";
      }
    }
  }
}

// A net's file, too.
TEST(FloatEnvironment, OfTheCallerDoesNotChangeFiles) {
  ConvSource source;
  source.out_channels = 16;
  source.in_channels = 3;
  source.type = WeightType::kI8;
  source.bias.assign(16, 0.1f);
  for (int k = 0; k < 48; ++k) source.weight.push_back(static_cast<float>(k - 20) * 0.37f);
  const std::vector<uint8_t> wanted = encode(source).payload;
  for (int rounding : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    std::fesetround(rounding);
    const std::vector<uint8_t> got = encode(source).payload;
    std::fesetround(FE_TONEAREST);
    EXPECT_EQ(got, wanted);
  }
}

#if defined(__x86_64__)
void flush_denormals(bool flush) {
  constexpr unsigned kFlushResults = 0x8000, kFlushInputs = 0x40;
  const unsigned others = __builtin_ia32_stmxcsr() & ~(kFlushResults | kFlushInputs);
  __builtin_ia32_ldmxcsr(flush ? others | kFlushResults | kFlushInputs : others);
}
#elif defined(__aarch64__)
void flush_denormals(bool flush) {
  const uint64_t control = flush ? uint64_t{1} << 24 : 0;
  asm volatile("msr fpcr, %0" : : "r"(control));
}
#elif defined(__arm__)
void flush_denormals(bool flush) {
  const uint32_t control = flush ? uint32_t{1} << 24 : 0;
  asm volatile("vmsr fpscr, %0" : : "r"(control));
}
#endif

#if defined(__x86_64__) || defined(__aarch64__) || defined(__arm__)
TEST(FloatEnvironment, KeepsDenormalsWhereTheCallerFlushesThem) {
  flush_denormals(true);
  const float before = multiply(1e-20f, 1e-20f);
  float within = 0;
  {
    const DefaultFloatEnvironment environment;
    within = multiply(1e-20f, 1e-20f);
  }
  const float after = multiply(1e-20f, 1e-20f);
  flush_denormals(false);
  EXPECT_EQ(before, 0.0f);
  EXPECT_NE(within, 0.0f);
  EXPECT_EQ(after, 0.0f);
}
#endif

}  // namespace
}  // namespace squish
