// What "auto" takes for nets where instruction sets differ by far.
#include "cpu/forecast.h"

#include <gtest/gtest.h>

#include <string>

#include "cpu/dispatch.h"
#include "support/check_net.h"
#include "support/net_builder.h"

namespace squish {
namespace {

using testing::ConvStyle;
using testing::NetBuilder;
using testing::session_options;
using testing::square;

// 28 x 28 pixels of 64 channels, from three.
std::shared_ptr<const Model> made_for_integers(int kernel, const ConvStyle& style) {
  NetBuilder net(1, 3);
  net.net().input.height = net.net().input.width = 28;
  int layer = net.conv(-1, 64, square(1), {true, 1, false, style.type});
  for (int k = 0; k < 3; ++k) layer = net.conv(layer, 64, square(kernel, 1, kernel / 2), style);
  net.hold_in_bytes();
  return net.model();
}

std::string automatic(const std::shared_ptr<const Model>& model, const SessionOptions& options) {
  return Session(model, options).options().storage;
}

bool has_dot_products(const std::string& isa) {
  const std::string integers = choose_integer_kernels(choose_kernels(isa)).isa;
  return integers == "avx512vnni" || integers == "avxvnni" || integers == "neondot" || integers == "neoni8mm";
}

TEST(Forecast, DenseInt4IsFasterInIntegers) {
  const auto model = made_for_integers(1, {true, 1, false, WeightType::kI4});
  for (const std::string& isa : available_isas())
    EXPECT_EQ(automatic(model, session_options(isa)), "i8") << isa;
}

TEST(Forecast, ScatteredClustersAreFasterInFloatsWithoutDotProducts) {
  const auto model = made_for_integers(3, {true, 0.1, true, WeightType::kI8});
  for (const std::string& isa : available_isas())
    EXPECT_EQ(automatic(model, session_options(isa)), has_dot_products(isa) ? "i8" : "f32") << isa;
}

TEST(Forecast, KnowsWinograd) {
  const auto model = made_for_integers(3, {true, 1, false, WeightType::kI8});
  for (const std::string& isa : available_isas()) {
    if (choose_integer_kernels(choose_kernels(isa)).isa != std::string("avx2")) continue;  // where it decides
    EXPECT_EQ(automatic(model, session_options(isa, 1, false)), "i8");
    EXPECT_EQ(automatic(model, session_options(isa, 1, true)), "f32");
  }
}

// Sessions run any size; only a plan for it may be refused.
TEST(Forecast, TakesSizesThatNoPlanHasMemoryFor) {
  NetBuilder net(3, 3);
  net.net().input.height = net.net().input.width = 1 << 15;
  net.conv(-1, 64, square(1), {true, 1, false, WeightType::kI4});
  net.hold_in_bytes();
  EXPECT_NO_THROW(Session(net.model(), session_options("scalar")));
}

TEST(Forecast, TakesNetsWhoseOwnSizeIsTooSmallForThem) {
  NetBuilder net(4, 3);
  net.net().input.height = net.net().input.width = 1;
  net.conv(net.conv(-1, 64, square(3), {true, 1, false, WeightType::kI4}), 64, square(1),
           {true, 1, false, WeightType::kI4});
  net.hold_in_bytes();
  EXPECT_EQ(automatic(net.model(), session_options("scalar")), "i8");
}

TEST(Forecast, IsAskedOnlyOnACpuAndOfNetsMadeForIntegers) {
  SessionOptions reference;
  reference.device = "reference";
  EXPECT_EQ(automatic(made_for_integers(3, {true, 0.1, true, WeightType::kI8}), reference), "i8");
  NetBuilder net(2, 3);
  net.conv(-1, 64, square(1), {true, 1, false, WeightType::kI4});
  EXPECT_EQ(automatic(net.model(), session_options("scalar")), "f32");
}

}  // namespace
}  // namespace squish
