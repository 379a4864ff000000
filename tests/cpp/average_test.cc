// Global average pooling: the kernel of each instruction set, and averages as whole ops.
#include <gtest/gtest.h>

#include <vector>

#include "support/check_net.h"
#include "support/expected.h"
#include "support/guarded.h"
#include "support/isas.h"
#include "support/net_builder.h"
#include "support/random.h"

namespace squish {
namespace {

using testing::BoundedSum;
using testing::Expected;
using testing::Guarded;

constexpr int kLanes = 16;

class AverageKernels : public testing::IsaTest {
 protected:
  void check(int rows, int width, testing::Edge edge) {
    testing::Random random(static_cast<uint32_t>(rows * 100 + width));
    const int row = (width + 1) * kLanes;
    Guarded<float> input(static_cast<size_t>(rows * row - kLanes), edge, 0.0f);
    for (size_t i = 0; i < input.size(); ++i) input[i] = random.value();
    Guarded<float> output(kLanes, edge, testing::kCanary);
    std::vector<Expected> expected;
    for (int lane = 0; lane < kLanes; ++lane) {
      BoundedSum sum;
      for (int i = 0; i < rows * width; ++i) {
        const int at = i / width * row + i % width * kLanes + lane;
        sum.add(double{input[static_cast<size_t>(at)]} / (rows * width));
      }
      expected.push_back(sum.expected());
    }
    kernels().average({input.data(), row, rows, width, output.data()});
    ASSERT_TRUE(testing::all_within(output.data(), expected)) << rows << "x" << width;
  }
};
SQUISH_TEST_EACH_ISA(AverageKernels);

TEST_P(AverageKernels, AgreeWithPlainLoops) {
  for (int rows : {1, 2, 3, 7, 13}) {
    for (int width : {1, 2, 5, 8, 13, 16, 17}) {
      for (testing::Edge edge : testing::kEdges) check(rows, width, edge);
    }
  }
}

TEST(Average, AgreesWithTheReferenceAfterAnyLayer) {
  testing::NetBuilder of_conv(1, 3), of_fire(2, 3), of_pool(3, 3), of_two_readers(4, 3);
  of_conv.global_average_pool(of_conv.conv(-1, 35, testing::square(3)));
  of_fire.global_average_pool(of_fire.fire(-1, {8, 20, 40}));
  of_pool.global_average_pool(of_pool.max_pool(-1, testing::square(2)));
  const int shared = of_two_readers.conv(-1, 5, testing::square(1));
  const int first = of_two_readers.global_average_pool(shared);
  of_two_readers.add(first, of_two_readers.global_average_pool(shared));
  for (int height : {3, 14}) {
    for (int width : {4, 13}) {
      for (const auto* net : {&of_conv, &of_fire, &of_pool, &of_two_readers}) {
        testing::check_net(net->model(), height, width);
      }
    }
  }
}

}  // namespace
}  // namespace squish
