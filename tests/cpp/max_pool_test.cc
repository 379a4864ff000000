// Max pooling: the kernel of each instruction set, and pools as whole ops. A maximum rounds nothing: all is
// exact.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "model/graph.h"
#include "support/check_net.h"
#include "support/expected.h"
#include "support/guarded.h"
#include "support/isas.h"
#include "support/net_builder.h"
#include "support/random.h"

namespace squish {
namespace {

using testing::all_within;
using testing::ConvStyle;
using testing::Expected;
using testing::Guarded;
using testing::kCanary;
using testing::kEdges;
using testing::NetBuilder;
using testing::Random;
using testing::square;

constexpr int kLanes = 16;

// Along a row: the fast path's 3 by 2, and windows that are clipped at either end, or both, or leave gaps.
struct RowWindow {
  int kernel, stride, pad_left, pad_right;
  bool ceil_mode;
};
constexpr RowWindow kRowWindows[] = {{3, 2, 0, 0, false}, {3, 2, 0, 0, true},  {3, 2, 1, 1, false},
                                     {3, 2, 0, 2, false}, {2, 2, 0, 0, false}, {2, 2, 1, 0, true},
                                     {1, 1, 0, 0, false}, {1, 3, 0, 0, true},  {3, 1, 1, 1, false},
                                     {7, 3, 6, 6, false}, {5, 5, 2, 0, true},  {2, 5, 1, 1, true}};

class MaxPoolKernels : public testing::IsaTest {
 protected:
  // One row of windows over `rows` rows that lie apart, upwards where `upside_down`.
  void check(const RowWindow& w, int width, int rows, bool upside_down, testing::Edge edge) {
    const int windows = pool_extent(width, w.kernel, w.stride, w.pad_left, w.pad_right, w.ceil_mode);
    if (windows < 1) return;
    Random random(static_cast<uint32_t>(width));
    const int row = (width + 2) * kLanes;
    Guarded<float> input(static_cast<size_t>(rows * row - 2 * kLanes), edge, 0.0f);
    for (size_t i = 0; i < input.size(); ++i) input[i] = random.value();
    Guarded<float> output(static_cast<size_t>(windows * kLanes), edge, kCanary);
    std::vector<Expected> expected;
    for (int i = 0; i < windows * kLanes; ++i) {
      const int left = i / kLanes * w.stride - w.pad_left;
      float best = -std::numeric_limits<float>::infinity();
      for (int y = 0; y < rows; ++y) {
        for (int x = std::max(left, 0); x < std::min(left + w.kernel, width); ++x) {
          best = std::max(best, input[static_cast<size_t>(y * row + x * kLanes + i % kLanes)]);
        }
      }
      expected.push_back({best, 0});
    }
    PoolTask task{};
    task.input = input.data() + (upside_down ? (rows - 1) * row : 0);
    task.input_row = upside_down ? -row : row;
    task.rows = rows;
    task.width = width;
    task.kernel_w = w.kernel;
    task.stride_w = w.stride;
    task.pad_left = w.pad_left;
    task.output = output.data();
    task.windows = windows;
    kernels().max_pool(task);
    ASSERT_TRUE(all_within(output.data(), expected))
        << w.kernel << " by " << w.stride << ", " << w.pad_left << " left, of " << rows << "x" << width;
  }
};
SQUISH_TEST_EACH_ISA(MaxPoolKernels);

TEST_P(MaxPoolKernels, AgreeWithPlainLoops) {
  for (const RowWindow& window : kRowWindows) {
    for (int width = 1; width <= 24; ++width) {
      for (int rows = 1; rows <= 4; ++rows) {
        for (testing::Edge edge : kEdges) check(window, width, rows, width % 2 == 0, edge);
      }
    }
  }
}

// As PyTorch's: wherever it stands in the window, on every instruction set.
TEST_P(MaxPoolKernels, GiveNaNForWindowsThatHoldOne) {
  constexpr int kWidth = 9, kHeight = 3, kWindows = 4;
  for (int rows : {2, 3}) {
    for (int bad = 0; bad < rows * kWidth; ++bad) {
      std::vector<float> input(kHeight * kWidth * kLanes, 1.0f), output(kWindows * kLanes);
      std::fill_n(input.begin() + bad * kLanes, kLanes, std::numeric_limits<float>::quiet_NaN());
      PoolTask task{};
      task.input = input.data();
      task.input_row = kWidth * kLanes;
      task.rows = rows;
      task.width = kWidth;
      task.kernel_w = 3;
      task.stride_w = 2;
      task.output = output.data();
      task.windows = kWindows;
      for (int pad : {0, 1}) {  // the fast path, and the other
        task.pad_left = pad;
        kernels().max_pool(task);
        for (int i = 0; i < kWindows * kLanes; ++i) {
          const int left = i / kLanes * 2 - pad, x = bad % kWidth;
          EXPECT_EQ(std::isnan(output[static_cast<size_t>(i)]), x >= left && x < left + 3)
              << "window " << i / kLanes << ", NaN at " << bad << ", padding " << pad;
        }
      }
    }
  }
}

// A convolution that overflows makes infinities, and the next NaN: pools must not lose them, fused or not.
TEST(MaxPool, KeepsTheNaNOfAnOverflowingConvolution) {
  const ConvStyle linear{false};
  for (int kernel : {1, 3}) {
    NetBuilder net(5, 1);
    const int first = net.conv(-1, 16, square(1), linear);
    net.max_pool(net.conv(first, 16, square(kernel, 1, kernel / 2), linear), square(3, 2));
    std::vector<float> image(16 * 16, 0.5f), output;
    image[5 * 16 + 6] = 3e38f;
    std::vector<float> huge(16, 1e3f);
    for (size_t c = 1; c < huge.size(); c += 2) huge[c] = -1e3f;  // infinities of both signs
    ConvDescription& conv = net.net().layers[0].convs[0];
    conv.encoding = WeightEncoding::kDense;
    conv.occupancy = {};
    conv.values = {reinterpret_cast<const uint8_t*>(huge.data()), huge.size() * sizeof(float)};
    const auto model = net.model();
    for (const std::string& isa : available_isas()) {
      for (bool winograd : {false, true}) {
        Session session(model, testing::session_options(isa, 1, winograd));
        output = testing::run(session, {image.data(), PixelFormat::kF32Nchw, 1, 16, 16});
        // The windows over row 5, column 6: rows 4 to 6 and columns 6 to 8 and 4 to 6.
        const Shape shape = model->output_shape(16, 16);
        for (int c = 0; c < shape.channels; ++c) {
          EXPECT_TRUE(std::isnan(output[static_cast<size_t>((c * shape.height + 2) * shape.width + 2)]))
              << isa << ", kernel " << kernel << ", channel " << c;
        }
      }
    }
  }
}

TEST(MaxPool, AgreesWithTheReferenceForAnyWindow) {
  const Window windows[] = {square(3, 2),
                            square(3, 2, 1),
                            square(2, 2),
                            square(1),
                            square(5, 4, 2),
                            square(3, 1, 1),
                            square(4, 5),
                            {3, 3, 2, 2, 0, 0, 2, 1},
                            {3, 3, 2, 2, 1, 0, 0, 0},
                            {2, 3, 1, 2, 1, 0, 0, 2}};
  for (const Window& window : windows) {
    for (bool ceil_mode : {false, true}) {
      SCOPED_TRACE(::testing::Message() << window.kernel_h << "x" << window.kernel_w << ", stride "
                                        << window.stride_h << ", padding " << window.pad_top << " to "
                                        << window.pad_bottom << (ceil_mode ? ", ceil" : ", floor"));
      NetBuilder of_conv(1, 3), of_fire(2, 3), of_input(3, 3);
      of_conv.max_pool(of_conv.conv(-1, 35, square(3)), window, ceil_mode);
      of_fire.max_pool(of_fire.fire(-1, {8, 20, 40}), window, ceil_mode);
      of_input.max_pool(-1, window, ceil_mode);
      for (const auto* net : {&of_conv, &of_fire, &of_input}) {
        testing::check_net(net->model(), 11, 10);
        testing::check_net(net->model(), 12, 9);
      }
    }
  }
}

// A border of zeros would win over values below zero: windows are clipped instead.
TEST(MaxPool, TakesNoPaddingForAValue) {
  NetBuilder net(4, 1);
  net.max_pool(-1, square(3, 2, 1), true);
  const std::vector<float> below_zero(6 * 6, -5.0f);
  Session session(net.model());
  const auto output = testing::run(session, {below_zero.data(), PixelFormat::kF32Nchw, 1, 6, 6});
  for (float value : output) EXPECT_EQ(value, -5.0f);
}

}  // namespace
}  // namespace squish
