// Addition: the kernel of each instruction set, and bypasses as whole ops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/check_net.h"
#include "support/expected.h"
#include "support/guarded.h"
#include "support/isas.h"
#include "support/net_builder.h"
#include "support/random.h"

namespace squish {
namespace {

using testing::Expected;
using testing::Guarded;
using testing::kCanary;
using testing::kUntouched;
using testing::NetBuilder;
using testing::square;

constexpr int kLanes = 16;
constexpr float kNoFloor = -std::numeric_limits<float>::infinity();

class AddKernels : public testing::IsaTest {
 protected:
  // Rows of a, b and the output lie apart, each otherwise.
  void check(int rows, int width, float floor, testing::Edge edge) {
    testing::Random random(static_cast<uint32_t>(rows * 100 + width));
    const int floats = width * kLanes, a_row = floats, b_row = floats + 5, output_row = floats + 3;
    const auto size = [&](int row) { return static_cast<size_t>((rows - 1) * row + floats); };
    Guarded<float> a(size(a_row), edge, 0.0f), b(size(b_row), edge, 0.0f),
        output(size(output_row), edge, kCanary);
    for (size_t i = 0; i < a.size(); ++i) a[i] = random.value();
    for (size_t i = 0; i < b.size(); ++i) b[i] = random.value();
    std::vector<Expected> expected(output.size(), kUntouched);
    for (int y = 0; y < rows; ++y) {
      for (int i = 0; i < floats; ++i) {
        // One rounding, the same for everybody: exact.
        const float sum = a[static_cast<size_t>(y * a_row + i)] + b[static_cast<size_t>(y * b_row + i)];
        expected[static_cast<size_t>(y * output_row + i)] = {std::max(floor, sum), 0};
      }
    }
    kernels().add({a.data(), b.data(), output.data(), a_row, b_row, output_row, floats, rows, floor});
    ASSERT_TRUE(testing::all_within(output.data(), expected)) << rows << "x" << width;
  }
};
SQUISH_TEST_EACH_ISA(AddKernels);

TEST_P(AddKernels, AgreeWithPlainLoops) {
  for (int rows : {1, 2, 5}) {
    for (int width : {1, 2, 3, 8, 13}) {
      for (testing::Edge edge : testing::kEdges) {
        check(rows, width, 0, edge);
        check(rows, width, kNoFloor, edge);
      }
    }
  }
}

TEST_P(AddKernels, LetNaNThroughTheReLU) {
  const std::vector<float> a(kLanes, std::numeric_limits<float>::quiet_NaN()), b(kLanes, 1.0f);
  std::vector<float> output(kLanes);
  kernels().add({a.data(), b.data(), output.data(), 0, 0, 0, kLanes, 1, 0});
  for (float value : output) EXPECT_TRUE(std::isnan(value));
}

TEST(Add, AgreesWithTheReferenceForEqualBlocks) {
  for (bool relu : {false, true}) {
    NetBuilder net(1, 3);
    const int first = net.fire(-1, {8, 17, 20});
    net.add(first, net.fire(first, {8, 17, 20}), relu);
    testing::check_net(net.model(), 9, 14);
  }
}

TEST(Add, AgreesWithTheReferenceForBlocksThatLieApart) {
  for (bool relu : {false, true}) {
    NetBuilder net(2, 3);
    const int first = net.fire(-1, {8, 17, 20});
    const int sum = net.add(first, net.fire(first, {8, 20, 17}), relu);
    net.fire(sum, {8, 5, 5});  // wants a border
    testing::check_net(net.model(), 9, 14);
  }
}

TEST(Add, AgreesWithTheReferenceForALayerTwice) {
  NetBuilder net(3, 3);
  const int conv = net.conv(-1, 20, square(3, 1, 1));
  net.add(conv, conv);
  testing::check_net(net.model(), 9, 14);
}

TEST(Add, AgreesWithTheReferenceForInputsOfOtherBorders) {
  NetBuilder net(4, 3);
  const int padded = net.conv(-1, 20, square(1));  // the next layer wants a border of it
  net.add(padded, net.conv(padded, 20, square(5, 1, 2)), true);
  testing::check_net(net.model(), 9, 14);
}

}  // namespace
}  // namespace squish
