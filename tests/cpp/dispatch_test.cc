#include "cpu/dispatch.h"

#include <gtest/gtest.h>

#if defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "squish/error.h"
#include "squish/session.h"
#include "support/environment.h"
#include "support/net_builder.h"
#include "support/throws.h"

namespace squish {
namespace {

using testing::ScopedEnvironment;
using testing::throws;

constexpr const char* kVariable = "SQUISH_FORCE_ISA";

bool is_available(const std::string& isa) {
  const auto isas = available_isas();
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

bool has_integers(const std::string& isa) {
  const auto kernels = available_integer_kernels();
  return std::any_of(kernels.begin(), kernels.end(), [&](const IntegerKernels* k) { return k->isa == isa; });
}

std::string listed() {
  std::string text;
  for (const std::string& isa : available_isas()) text += (text.empty() ? "" : ", ") + isa;
  return text;
}

std::shared_ptr<const Model> little_model() {
  testing::NetBuilder net(1, 3);
  net.conv(-1, 4, testing::square(1));
  return net.model();
}

TEST(Dispatch, ScalarRunsEverywhereAndIsTheLastChoice) { EXPECT_EQ(available_isas().back(), "scalar"); }

#if defined(__linux__) && defined(__x86_64__)
// As the kernel says: the dispatcher asks the CPU itself.
bool kernel_lists(const std::string& flag) {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string word;
  while (cpuinfo >> word) {
    if (word == flag) return true;
  }
  return false;
}

TEST(Dispatch, OffersWhatTheCpuHas) {
  EXPECT_EQ(is_available("avx2"), kernel_lists("avx2") && kernel_lists("fma"));
  EXPECT_EQ(is_available("avx512"), kernel_lists("avx512f") && kernel_lists("avx512bw") &&
                                        kernel_lists("avx512dq") && kernel_lists("avx512vl"));
}
TEST(Dispatch, OffersIntegersThatTheCpuHas) {
  EXPECT_EQ(has_integers("avx2"), is_available("avx2"));
  EXPECT_EQ(has_integers("avx512vnni"), is_available("avx512") && kernel_lists("avx512_vnni"));
#if defined(SQUISH_TEST_EVEX_VNNI)  // the compiler knows it
  EXPECT_EQ(has_integers("avxvnni"), is_available("avx2") && kernel_lists("avx_vnni"));
#endif
}

TEST(Dispatch, LooksPhotographsUpWhereTheCpuCan) {
  for (const IntegerKernels* kernels : available_integer_kernels()) {
    const bool wanted = std::string(kernels->isa) == "avx512vnni" && kernel_lists("avx512vbmi");
    EXPECT_EQ(choose_rgb_quads(*kernels) != nullptr, wanted) << kernels->isa;
  }
}
#elif defined(__aarch64__)
TEST(Dispatch, OffersNeonOnEveryArm) {
  EXPECT_EQ(available_isas().front(), "neon");
  EXPECT_TRUE(has_integers("neon"));
}

#if defined(__linux__)
TEST(Dispatch, OffersDotProductsThatTheCpuHas) {
  const bool dot_products = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  EXPECT_EQ(has_integers("neondot"), dot_products);
#if defined(SQUISH_TEST_NEONI8MM)  // the compiler knows it
  EXPECT_EQ(has_integers("neoni8mm"),
            dot_products && (getauxval(AT_HWCAP2) & 1UL << 13) != 0);  // HWCAP2_I8MM
#endif
}
#endif
#endif

#if defined(__linux__) && defined(__arm__)
TEST(Dispatch, OffersNeonThatTheCpuHas) {
  const bool fused =
      (getauxval(AT_HWCAP) & HWCAP_ARM_NEON) != 0 && (getauxval(AT_HWCAP) & HWCAP_ARM_VFPv4) != 0;
  EXPECT_EQ(is_available("neon"), fused);
  EXPECT_EQ(has_integers("neon"), fused);
}
#endif

TEST(Dispatch, TakesTheBestUnlessTold) {
  const ScopedEnvironment unset(kVariable, nullptr);
  EXPECT_EQ(choose_kernels("").isa, available_isas().front());
  for (const std::string& isa : available_isas()) EXPECT_EQ(choose_kernels(isa).isa, isa);
}

TEST(Dispatch, TakesTheBestIntegersThatGoWithTheFloats) {
  for (const std::string& isa : available_isas()) {
    std::string wanted = isa;  // of the same name
    const std::string narrow = has_integers("avxvnni") ? "avxvnni" : "avx2";
    if (isa == "avx2") wanted = narrow;
    if (isa == "avx512") wanted = has_integers("avx512vnni") ? "avx512vnni" : narrow;
    if (isa == "neon" && has_integers("neondot")) wanted = "neondot";
    if (isa == "neon" && has_integers("neoni8mm")) wanted = "neoni8mm";
    EXPECT_EQ(choose_integer_kernels(choose_kernels(isa)).isa, wanted) << isa;
  }
}

TEST(Dispatch, EmptyEnvironmentIsNoWish) {
  const ScopedEnvironment empty(kVariable, "");
  EXPECT_EQ(choose_kernels("").isa, available_isas().front());
}

TEST(Dispatch, ObeysTheEnvironment) {
  for (const std::string& isa : available_isas()) {
    const ScopedEnvironment forced(kVariable, isa.c_str());
    EXPECT_EQ(choose_kernels("").isa, isa);
    EXPECT_EQ(Session(little_model()).isa(), isa);
  }
}

TEST(Dispatch, AnOptionIsStrongerThanTheEnvironment) {
  const ScopedEnvironment forced(kVariable, "no such thing");
  for (const std::string& isa : available_isas()) EXPECT_EQ(choose_kernels(isa).isa, isa);
}

TEST(Dispatch, RejectsUnknownNamesAndSaysWhatThereIs) {
  const std::string has = ", this build on this CPU has " + listed();
  EXPECT_TRUE(throws<DeviceError>([] { choose_kernels("sse9"); }, "isa: got 'sse9'" + has));
  EXPECT_TRUE(throws<DeviceError>([] { choose_kernels("AVX2"); }, "isa: got 'AVX2'" + has));
  const ScopedEnvironment forced(kVariable, "sse9");
  EXPECT_TRUE(throws<DeviceError>([] { choose_kernels(""); }, "SQUISH_FORCE_ISA: got 'sse9'" + has));
  EXPECT_TRUE(throws<DeviceError>([] { Session session(little_model()); }, "SQUISH_FORCE_ISA: got 'sse9'"));
}

TEST(Dispatch, RejectsInstructionSetsThatThisCpuLacks) {
  for (const char* isa : {"avx512", "avx2", "neon"}) {
    if (is_available(isa)) continue;
    EXPECT_TRUE(throws<DeviceError>([&] { choose_kernels(isa); }, std::string("isa: got '") + isa + "'"));
  }
}

// CTest runs this once for each name there is, in a process whose environment asks for it.
TEST(ForcedIsa, IsTheOneThatRuns) {
  const char* forced = std::getenv(kVariable);
  const std::string wanted = forced == nullptr ? available_isas().front() : forced;
  if (is_available(wanted)) {
    EXPECT_EQ(Session(little_model()).isa(), wanted);
  } else {
    ASSERT_TRUE(throws<DeviceError>([] { Session session(little_model()); }, "got '" + wanted + "'"));
    GTEST_SKIP() << "this machine has no " << wanted << ": it was refused";
  }
}

}  // namespace
}  // namespace squish
