// The convolution kernels of each instruction set against a plain double loop, and convolutions as whole ops.
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

using testing::all_within;
using testing::at_least;
using testing::BoundedSum;
using testing::Edge;
using testing::Expected;
using testing::Guarded;
using testing::kCanary;
using testing::kEdges;
using testing::kUntouched;
using testing::NetBuilder;
using testing::Random;
using testing::square;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kNoFloor = -std::numeric_limits<float>::infinity();
constexpr int kLanes = 16, kKernel = 3, kChannels = 32, kAllColumns = kChannels * kKernel * kKernel;

// Widths and heights around the tiles of all instruction sets, which are 2, 6 and 28 pixels, halves and
// quarters of them, and bands of 1, 2 and 4 rows: below, equal, multiple, above, prime.
constexpr int kWidths[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 27, 28, 29, 42, 55, 56, 57, 59};
constexpr int kRows[] = {1, 2, 3, 5, 7};

// Of 3x3 kernels at densities 0, nearly 0, 0.1, 0.5 and 1.
constexpr int kColumns[] = {0, 1, kAllColumns / 10, kAllColumns / 2, kAllColumns};

// How the input lies in memory, and the convolution's stride.
struct Geometry {
  int channel_step, stride;
  int step() const { return channel_step * stride; }
};
// Those with kernels of their own, and others.
constexpr Geometry kGeometries[] = {{1, 1}, {1, 2}, {16, 1}, {16, 2}, {1, 3}, {16, 3}};

// One call of a kernel: a 3x3 convolution with its own, guarded input and output.
class KernelCall {
 public:
  KernelCall(Geometry geometry, int blocks, int rows, int width, int columns, uint32_t seed, Edge edge)
      : geometry_(geometry),
        blocks_(blocks),
        random_(seed),
        gap_(random_.between(0, 3)),
        pixels_((width - 1) * geometry.stride + kKernel),
        lines_((rows - 1) * geometry.stride + kKernel),
        row_((pixels_ + gap_) * geometry.channel_step),
        input_(input_floats(), edge, kNaN),
        weights_(static_cast<size_t>(columns * blocks * kLanes), edge, 0.0f),
        offsets_(static_cast<size_t>(columns), edge, 0),
        bias_(static_cast<size_t>(blocks * kLanes), edge, 0.0f),
        output_(output_floats(rows, width), edge, kCanary) {
    fill_input();
    choose_columns(columns);
    for (size_t i = 0; i < weights_.size(); ++i) weights_[i] = random_.chance(0.2) ? 0 : random_.value();
    for (size_t i = 0; i < bias_.size(); ++i) bias_[i] = random_.value();
    task_.input = input_.data() + row_ + geometry.channel_step;
    task_.input_row = row_ * geometry.stride;
    task_.input_step = geometry.step();
    task_.weights = weights_.data();
    task_.offsets = offsets_.data();
    task_.columns = columns;
    task_.bias = bias_.data();
    task_.floor = random_.chance(0.5) ? 0 : kNoFloor;
    task_.output = output_.data();
    task_.output_row = (width + gap_) * kLanes;
    task_.output_block = rows * task_.output_row;
    task_.rows = rows;
    task_.width = width;
  }

  // The whole output, gaps between the rows included. To be asked before run().
  std::vector<Expected> expected() const {
    std::vector<Expected> expected(output_.size(), kUntouched);
    for (int y = 0; y < task_.rows; ++y) {
      for (int x = 0; x < task_.width; ++x) {
        for (int o = 0; o < blocks_ * kLanes; ++o) expected[output_at(o, y, x)] = expected_value(o, y, x);
      }
    }
    return expected;
  }

  void run(const KernelTable& kernels) const { kernel(kernels)(task_); }
  const float* output() { return output_.data(); }

  void set_floor(float floor) { task_.floor = floor; }
  void fill_input_with_nan() { std::fill_n(input_.data(), input_.size(), kNaN); }

  // From now on results go into the maximum with what the output holds: random values.
  void take_running_max() {
    task_.running_max = true;
    for (int y = 0; y < task_.rows; ++y) {
      for (int x = 0; x < task_.width; ++x) {
        for (int o = 0; o < blocks_ * kLanes; ++o) output_[output_at(o, y, x)] = random_.value();
      }
    }
  }

 private:
  int channel_blocks() const { return geometry_.channel_step == 1 ? kChannels : 2; }
  size_t block_values() const { return static_cast<size_t>(row_ * lines_); }
  size_t input_at(int channel, int y, int x) const {
    const int step = geometry_.channel_step;
    return static_cast<size_t>(channel / step) * block_values() +
           static_cast<size_t>(y * row_ + x * step + channel % step);
  }
  // Without the gap after the last row: the last pixel is the buffer's last.
  size_t input_floats() const {
    return static_cast<size_t>(channel_blocks()) * block_values() -
           static_cast<size_t>(gap_ * geometry_.channel_step);
  }
  size_t output_floats(int rows, int width) const {
    return static_cast<size_t>((blocks_ * rows * (width + gap_) - gap_) * kLanes);
  }
  size_t output_at(int o, int y, int x) const {
    return static_cast<size_t>(o / kLanes * task_.output_block + y * task_.output_row + x * kLanes +
                               o % kLanes);
  }

  // All but the gaps, which stay NaN.
  void fill_input() {
    for (int c = 0; c < channel_blocks() * geometry_.channel_step; ++c) {
      for (int y = 0; y < lines_; ++y) {
        for (int x = 0; x < pixels_; ++x) input_[input_at(c, y, x)] = random_.value();
      }
    }
  }

  // So many of all, in order, spread over channels and kernel positions.
  void choose_columns(int columns) {
    for (int k = 0; k < columns; ++k) {
      const int column = k * kAllColumns / columns, position = column % (kKernel * kKernel);
      const int dy = position / kKernel - 1, dx = position % kKernel - 1;
      const auto at = static_cast<int32_t>(input_at(column / (kKernel * kKernel), 0, 0));
      offsets_[static_cast<size_t>(k)] = at + dy * row_ + dx * geometry_.channel_step;
    }
  }

  Expected expected_value(int o, int y, int x) const {
    const float* pixel = task_.input + y * task_.input_row + x * task_.input_step;
    BoundedSum sum;
    sum.add(bias_[static_cast<size_t>(o)]);
    for (ptrdiff_t k = 0; k < task_.columns; ++k) {
      sum.add(double{task_.weights[k * blocks_ * kLanes + o]} * double{pixel[task_.offsets[k]]});
    }
    const bool running_max = task_.running_max;
    return at_least(running_max ? task_.output[output_at(o, y, x)] : task_.floor, sum.expected());
  }

  ConvKernel kernel(const KernelTable& kernels) const {
    const auto b = static_cast<size_t>(blocks_ - 1);
    switch (geometry_.step()) {
      case 1:
        return kernels.conv[kStep1][b];
      case 2:
        return kernels.conv[kStep2][b];
      case 16:
        return kernels.conv[kStep16][b];
      default:
        return kernels.conv_any_step[b];
    }
  }

  Geometry geometry_;
  int blocks_;
  Random random_;
  int gap_;  // pixels between the rows
  int pixels_, lines_, row_;
  Guarded<float> input_;
  Guarded<float> weights_;
  Guarded<int32_t> offsets_;
  Guarded<float> bias_;
  Guarded<float> output_;
  ConvTask task_{};
};

class ConvKernels : public testing::IsaTest {};
SQUISH_TEST_EACH_ISA(ConvKernels);

TEST_P(ConvKernels, AgreeWithPlainLoops) {
  uint32_t seed = 0;
  for (const Geometry& geometry : kGeometries) {
    for (int blocks = 1; blocks <= kernels().max_group; ++blocks) {
      for (int columns : kColumns) {
        for (int rows : kRows) {
          for (int width : kWidths) {
            ++seed;
            KernelCall call(geometry, blocks, rows, width, columns, seed, kEdges[seed % 2]);
            const auto expected = call.expected();
            call.run(kernels());
            ASSERT_TRUE(all_within(call.output(), expected))
                << rows << "x" << width << " pixels, step " << geometry.step() << ", " << blocks
                << " blocks, " << columns << " columns";
          }
        }
      }
    }
  }
}

TEST_P(ConvKernels, KeepWhatIsLargerInARunningMaximum) {
  uint32_t seed = 0;
  for (const Geometry& geometry : kGeometries) {
    for (int blocks = 1; blocks <= kernels().max_group; ++blocks) {
      for (int width : kWidths) {
        ++seed;
        KernelCall call(geometry, blocks, 1, width, kAllColumns / 10, seed, kEdges[seed % 2]);
        call.take_running_max();
        const auto expected = call.expected();
        call.run(kernels());
        ASSERT_TRUE(all_within(call.output(), expected)) << width << " pixels, step " << geometry.step();
      }
    }
  }
}

// A net that overflows must not look as if it were sure of something.
TEST_P(ConvKernels, LetNaNThroughTheReLU) {
  for (const Geometry& geometry : kGeometries) {
    for (int blocks = 1; blocks <= kernels().max_group; ++blocks) {
      constexpr int kPixels = 5;
      KernelCall call(geometry, blocks, 1, kPixels, 1, 1, Edge::kBack);
      call.set_floor(0);
      call.fill_input_with_nan();
      call.run(kernels());
      for (int i = 0; i < kPixels * kLanes; ++i) ASSERT_TRUE(std::isnan(call.output()[i])) << i;
    }
  }
}

TEST(Conv, AgreesWithTheReferenceForAnyWindow) {
  const Window windows[] = {square(1),
                            square(1, 2),
                            square(1, 3),
                            square(2),
                            square(3),
                            square(3, 1, 1),
                            square(3, 1, 2),
                            square(3, 2, 1),
                            square(3, 3, 2),
                            square(5, 1, 2),
                            square(7, 2, 3),
                            square(4, 3),
                            {1, 7, 1, 1, 0, 3, 0, 3},
                            {5, 2, 1, 3, 4, 0, 1, 1},
                            {3, 3, 1, 1, 0, 2, 1, 0}};
  for (const Window& window : windows) {
    SCOPED_TRACE(::testing::Message() << window.kernel_h << "x" << window.kernel_w << ", stride "
                                      << window.stride_h << ", padding " << window.pad_top);
    NetBuilder of_the_input(1, 2), of_blocks(2, 2);
    of_the_input.conv(-1, 33, window);
    testing::check_net(of_the_input.model(), 12, 17);
    of_blocks.conv(of_blocks.conv(-1, 20, square(1)), 33, window);
    testing::check_net(of_blocks.model(), 13, 14);
  }
}

TEST(Conv, AgreesWithTheReferenceAtAnyDensity) {
  for (double density : {0.0, 0.02, 0.1, 0.5, 0.9, 1.0}) {
    for (bool clusters_die : {false, true}) {
      SCOPED_TRACE(density);
      testing::ConvStyle style;
      style.density = density;
      style.clusters_die = clusters_die;
      NetBuilder net(3, 3);
      net.conv(net.conv(-1, 40, square(3, 2)), 70, square(3, 1, 1), style);
      testing::check_net(net.model(), 17, 21);
    }
  }
}

}  // namespace
}  // namespace squish
