// The transforms of Winograd's F(2x2, 3x3): of the weights, and those of each instruction set.
#include "cpu/winograd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support/expected.h"
#include "support/guarded.h"
#include "support/isas.h"
#include "support/random.h"

namespace squish {
namespace {

using testing::all_within;
using testing::at_least;
using testing::BoundedSum;
using testing::Expected;
using testing::Guarded;
using testing::kCanary;
using testing::kEdges;
using testing::kUntouched;
using testing::Random;

constexpr int kLanes = 16, kFrequencies = 16;

// Lavin and Gray's matrices for F(2x2, 3x3).
constexpr double kBT[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
constexpr double kAT[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};

TEST(Winograd, TransformsMakeAConvolution) {
  Random random(1);
  double kernel[9], tile[4][4];
  for (double& w : kernel) w = random.between(-8, 8);
  for (auto& row : tile) {
    for (double& x : row) x = random.between(-8, 8);
  }
  float transformed[16];
  transform_weights(kernel, transformed);
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 2; ++x) {
      double got = 0, wanted = 0;
      for (int f = 0; f < kFrequencies; ++f) {
        double input = 0;
        for (int i = 0; i < 16; ++i) input += kBT[f / 4][i / 4] * kBT[f % 4][i % 4] * tile[i / 4][i % 4];
        got += kAT[y][f / 4] * kAT[x][f % 4] * input * double{transformed[f]};
      }
      for (int k = 0; k < 9; ++k) wanted += kernel[k] * tile[y + k / 3][x + k % 3];
      EXPECT_EQ(got, wanted) << "quarters of integers: exact";
    }
  }
}

class WinogradKernels : public testing::IsaTest {};
SQUISH_TEST_EACH_ISA(WinogradKernels);

TEST_P(WinogradKernels, TransformTheInput) {
  for (testing::Edge edge : kEdges) {
    for (int tiles = 1; tiles <= 9; ++tiles) {
      const int width = 2 * tiles + 2, row = (width + 1) * kLanes, frequency = (tiles + 2) * kLanes;
      Random random(static_cast<uint32_t>(tiles));
      Guarded<float> input(static_cast<size_t>(4 * row - kLanes), edge, 0.0f);
      for (size_t i = 0; i < input.size(); ++i) input[i] = random.value();
      Guarded<float> output(static_cast<size_t>(kFrequencies * frequency - 2 * kLanes), edge, kCanary);
      std::vector<Expected> expected(output.size(), kUntouched);
      for (int f = 0; f < kFrequencies; ++f) {
        for (int i = 0; i < tiles * kLanes; ++i) {
          BoundedSum sum;
          for (int k = 0; k < 16; ++k) {
            const int at = k / 4 * row + (i / kLanes * 2 + k % 4) * kLanes + i % kLanes;
            sum.add(kBT[f / 4][k / 4] * kBT[f % 4][k % 4] * double{input[static_cast<size_t>(at)]});
          }
          expected[static_cast<size_t>(f * frequency + i)] = sum.expected();
        }
      }
      WinogradInputTask task{};
      task.input = input.data();
      task.input_row = row;
      task.tiles = tiles;
      task.output = output.data();
      task.frequency = frequency;
      kernels().winograd_input(task);
      ASSERT_TRUE(all_within(output.data(), expected)) << tiles << " tiles";
    }
  }
}

// One row of tiles transformed back, in guarded memory.
class OutputCall {
 public:
  OutputCall(int rows, int width, bool pair_max, testing::Edge edge)
      : random_(static_cast<uint32_t>(width)),
        products_(static_cast<size_t>(kFrequencies * frequency(width)), edge, 0.0f),
        bias_(kLanes, edge, 0.0f),
        output_(static_cast<size_t>((pair_max ? 2 : rows) * row(width) - kLanes), edge, kCanary) {
    for (size_t i = 0; i < products_.size(); ++i) products_[i] = random_.value();
    for (size_t i = 0; i < bias_.size(); ++i) bias_[i] = random_.value();
    task_.products = products_.data();
    task_.frequency = frequency(width);
    task_.bias = bias_.data();
    task_.floor = random_.chance(0.5) ? 0 : -std::numeric_limits<float>::infinity();
    task_.output = output_.data();
    task_.output_row = row(width);
    task_.rows = rows;
    task_.width = width;
    task_.pair_max = pair_max;
  }

  ::testing::AssertionResult run(const KernelTable& kernels) {
    kernels.winograd_output(task_);
    return all_within(output_.data(), expected());
  }

 private:
  static int frequency(int width) { return (width + 1) / 2 * kLanes; }
  static int row(int width) { return (width + 1) * kLanes; }

  std::vector<Expected> expected() {
    std::vector<Expected> expected(output_.size(), kUntouched);
    for (int i = 0; i < task_.width * kLanes; ++i) {
      const Expected first = pixel(0, i), second = pixel(1, i);
      expected[static_cast<size_t>(i)] = first;
      const auto below = static_cast<size_t>(i + row(task_.width));
      if (task_.pair_max) {
        expected[below] = task_.rows == 1 ? first : larger(first, second);
      } else if (task_.rows == 2) {
        expected[below] = second;
      }
    }
    return expected;
  }

  static Expected larger(const Expected& a, const Expected& b) {
    return {std::max(a.wanted, b.wanted), std::max(a.bound, b.bound)};
  }

  Expected pixel(int y, int i) {
    const int x = i / kLanes, lane = i % kLanes;
    BoundedSum sum;
    sum.add(bias_[static_cast<size_t>(lane)]);
    for (int f = 0; f < kFrequencies; ++f) {
      const int at = f * frequency(task_.width) + x / 2 * kLanes + lane;
      sum.add(kAT[y][f / 4] * kAT[x % 2][f % 4] * double{products_[static_cast<size_t>(at)]});
    }
    return at_least(task_.floor, sum.expected());
  }

  Random random_;
  Guarded<float> products_, bias_, output_;
  WinogradOutputTask task_{};
};

TEST_P(WinogradKernels, TransformTheOutput) {
  for (testing::Edge edge : kEdges) {
    for (int width = 1; width <= 20; ++width) {
      for (int rows : {1, 2}) {
        for (bool pair_max : {false, true}) {
          OutputCall call(rows, width, pair_max, edge);
          ASSERT_TRUE(call.run(kernels())) << rows << "x" << width << " pixels, pair_max " << pair_max;
        }
      }
    }
  }
}

}  // namespace
}  // namespace squish
