// The kernels of integer arithmetic of each instruction set against plain loops: all is exact, to the bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cpu/dispatch.h"
#include "model/graph.h"
#include "support/guarded.h"
#include "support/integer_isas.h"
#include "support/random.h"

namespace squish {

namespace {

using testing::activation_of;
using testing::byte_of;
using testing::Edge;
using testing::Guarded;
using testing::IntegerTest;
using testing::kCanary;
using testing::kEdges;
using testing::quantised;
using testing::Random;
using testing::scaled;

constexpr int kLanes = 16, kInputs = 4, kKernel = 3, kChannels = 32, kQuads = kChannels / kInputs;
constexpr int kAllColumns = kQuads * kKernel * kKernel;

// As those of conv_test.cc, for tiles of up to 24 pixels.
constexpr int kWidths[] = {1,  2,  3,  4,  5,  6,  7,  8,  11, 12, 13, 14,
                           15, 23, 24, 25, 27, 28, 29, 42, 55, 56, 59};
constexpr int kRows[] = {1, 2, 3, 5, 7};
constexpr int kColumns[] = {0, 1, kAllColumns / 10, kAllColumns * 2 / 3, kAllColumns - 1};

struct Geometry {
  int channel_step, stride;
  int step() const { return channel_step * stride; }
};
constexpr Geometry kGeometries[] = {{4, 1}, {4, 2}, {16, 1}, {16, 2}, {4, 3}};

enum class Results { kBytes, kRunningMax, kFloats, kPooled, kPooledRunningMax };
bool is_pooled(Results results) {
  return results == Results::kPooled || results == Results::kPooledRunningMax;
}

// One call of a kernel: a 3x3 convolution with its own, guarded input and output.
class KernelCall {
 public:
  KernelCall(const IntegerKernels& kernels, Geometry geometry, int blocks, int rows, int width, int columns,
             Results results, uint32_t seed, Edge edge)
      : kernels_(kernels),
        geometry_(geometry),
        blocks_(blocks),
        value_bytes_(results == Results::kFloats ? 4 : 1),
        pooled_(is_pooled(results)),
        outputs_(pooled_ ? width / 2 : width),
        random_(seed),
        gap_(random_.between(0, 3)),
        pixels_((width - 1) * geometry.stride + kKernel),
        lines_((rows - 1) * geometry.stride + kKernel),
        row_((pixels_ + gap_) * geometry.channel_step),
        input_(static_cast<size_t>(channel_blocks() * block_bytes() - gap_ * geometry.channel_step), edge, 0),
        weights_(static_cast<size_t>(columns * blocks * kLanes * kInputs)),
        packed_(static_cast<size_t>(columns * blocks * kernels.cluster_bytes), edge, 0),
        offsets_(static_cast<size_t>(columns), edge, 0),
        start_(static_cast<size_t>(blocks * kLanes), edge, 0),
        factor_(start_.size(), edge, 0),
        term_(start_.size(), edge, 0),
        output_(static_cast<size_t>((blocks * rows * (outputs_ + gap_) - gap_) * kLanes * value_bytes_), edge,
                kCanary) {
    for (size_t i = 0; i < input_.size(); ++i) input_[i] = static_cast<uint8_t>(random_.between(0, 255));
    choose_columns(columns);
    choose_weights();
    if (columns > 0) kernels.pack(weights_.data(), columns * blocks, packed_.data());
    // Results over the whole range of bytes and beyond its ends.
    const double magnitude = 4.0 / (1 + 60 * std::sqrt(columns));
    for (size_t i = 0; i < start_.size(); ++i) {
      start_[i] = random_.between(-20000, 20000);
      factor_[i] = pooled_ ? std::abs(random_.value(magnitude)) : random_.value(magnitude);
      term_[i] = random_.value(200);
    }
    task_.input = input_.data() + row_ + geometry.channel_step;
    task_.input_row = row_ * geometry.stride;
    task_.input_step = geometry.step();
    task_.weights = packed_.data();
    task_.offsets = offsets_.data();
    task_.columns = columns;
    task_.start = start_.data();
    task_.factor = factor_.data();
    task_.term = term_.data();
    task_.to_bytes = results != Results::kFloats;
    task_.running_max = results == Results::kRunningMax || results == Results::kPooledRunningMax;
    task_.low = random_.chance(0.5) ? random_.between(0, 255) : 0;
    task_.floor = random_.chance(0.5) ? 0 : -INFINITY;
    task_.output = output_.data();
    task_.output_row = (outputs_ + gap_) * kLanes * value_bytes_;
    task_.output_block = rows * task_.output_row;
    task_.rows = rows;
    task_.width = width;
    if (!task_.running_max) return;
    for (size_t i = 0; i < output_.size(); ++i) output_[i] = static_cast<uint8_t>(random_.between(0, 255));
  }

  // The whole output, gaps between the rows included. To be asked before run().
  std::vector<uint8_t> expected() const {
    std::vector<uint8_t> expected(output_.size());
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = output_[i];
    for (int y = 0; y < task_.rows; ++y) {
      for (int x = 0; x < outputs_; ++x) {
        for (int o = 0; o < blocks_ * kLanes; ++o) put(expected, o, y, x);
      }
    }
    return expected;
  }

  std::vector<uint8_t> run() {
    const auto b = static_cast<size_t>(blocks_ - 1);
    const int step = geometry_.step();
    const QuadStep which = step == 4    ? kQuadStep4
                           : step == 8  ? kQuadStep8
                           : step == 16 ? kQuadStep16
                                        : kQuadAnyStep;
    (pooled_ ? kernels_.conv_pooled : kernels_.conv)[which][b](task_);
    return {output_.data(), output_.data() + output_.size()};
  }

 private:
  int channel_blocks() const { return kChannels / geometry_.channel_step; }
  int block_bytes() const { return row_ * lines_; }

  // Quad by quad, or position by position.
  void choose_columns(int columns) {
    constexpr int kArea = kKernel * kKernel;
    const bool quad_by_quad = random_.chance(0.5);
    for (int k = 0; k < columns; ++k) {
      const int column = k * kAllColumns / columns, step = geometry_.channel_step;
      const int position = quad_by_quad ? column % kArea : column / kQuads;
      const int channel = kInputs * (quad_by_quad ? column / kArea : column % kQuads);
      const int dy = position / kKernel - 1, dx = position % kKernel - 1;
      offsets_[static_cast<size_t>(k)] =
          channel / step * block_bytes() + channel % step + dy * row_ + dx * step;
    }
  }

  // Stretches of large weights and of small ones, whose sums hold in fewer bits.
  void choose_weights() {
    int most = 127;
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (i % (kLanes * kInputs) == 0 && (i == 0 || random_.chance(0.1)))
        most = random_.chance(0.5) ? 127 : 7;
      weights_[i] = static_cast<int8_t>(random_.chance(0.2) ? 0 : random_.between(-most, most));
    }
  }

  float value_of(int o, int y, int x) const {
    const uint8_t* pixel = task_.input + y * task_.input_row + x * task_.input_step;
    int64_t sum = start_[static_cast<size_t>(o)];
    for (ptrdiff_t k = 0; k < task_.columns; ++k) {
      const int8_t* weight = &weights_[static_cast<size_t>((k * blocks_ * kLanes + o) * kInputs)];
      for (int i = 0; i < kInputs; ++i)
        sum +=
            weight[i] * (activation_of(kernels_, pixel[task_.offsets[k] + i]) - kernels_.activation_offset);
    }
    return scaled(sum, factor_[static_cast<size_t>(o)], term_[static_cast<size_t>(o)]);
  }

  // In a byte; pooled: the largest of up to three.
  int activation(int o, int y, int x) const {
    if (!pooled_) return quantised(value_of(o, y, x), task_.low);
    int largest = 0;
    for (int column = 2 * x; column < std::min(2 * x + 3, task_.width); ++column)
      largest = std::max(largest, quantised(value_of(o, y, column), task_.low));
    return largest;
  }

  void put(std::vector<uint8_t>& expected, int o, int y, int x) const {
    const auto at = static_cast<size_t>(o / kLanes * task_.output_block + y * task_.output_row +
                                        (x * kLanes + o % kLanes) * value_bytes_);
    if (!task_.to_bytes) {
      const float result = std::max(task_.floor, value_of(o, y, x));
      std::copy_n(reinterpret_cast<const uint8_t*>(&result), sizeof result, &expected[at]);
    } else {
      const int held = task_.running_max ? activation_of(kernels_, expected[at]) : 0;
      expected[at] = byte_of(kernels_, std::max(activation(o, y, x), held));
    }
  }

  const IntegerKernels& kernels_;
  Geometry geometry_;
  int blocks_, value_bytes_;
  bool pooled_;
  int outputs_;  // of a row
  Random random_;
  int gap_;  // pixels between the rows
  int pixels_, lines_, row_;
  Guarded<uint8_t> input_;
  std::vector<int8_t> weights_;
  Guarded<uint8_t> packed_;
  Guarded<int32_t> offsets_, start_;
  Guarded<float> factor_, term_;
  Guarded<uint8_t> output_;
  IntegerConvTask task_{};
};

class IntegerConvKernels : public IntegerTest {};

TEST_P(IntegerConvKernels, AgreeWithPlainLoops) {
  uint32_t seed = 0;
  for (const Geometry& geometry : kGeometries) {
    for (int blocks = 1; blocks <= kernels().max_group; ++blocks) {
      for (int columns : kColumns) {
        for (int rows : kRows) {
          for (int width : kWidths) {
            ++seed;
            const Results results = seed % 4 == 0 ? Results::kFloats : Results::kBytes;
            KernelCall call(kernels(), geometry, blocks, rows, width, columns, results, seed,
                            kEdges[seed % 2]);
            const auto expected = call.expected();
            ASSERT_EQ(call.run(), expected) << rows << "x" << width << " pixels, step " << geometry.step()
                                            << ", " << blocks << " blocks, " << columns << " columns";
          }
        }
      }
    }
  }
}

TEST_P(IntegerConvKernels, KeepWhatIsLargerInARunningMaximum) {
  uint32_t seed = 0;
  for (const Geometry& geometry : kGeometries) {
    for (int blocks = 1; blocks <= kernels().max_group; ++blocks) {
      for (int width : kWidths) {
        ++seed;
        KernelCall call(kernels(), geometry, blocks, 1, width, kAllColumns / 10, Results::kRunningMax, seed,
                        kEdges[seed % 2]);
        const auto expected = call.expected();
        ASSERT_EQ(call.run(), expected) << width << " pixels, step " << geometry.step();
      }
    }
  }
}

TEST_P(IntegerConvKernels, PoolAlongRows) {
  uint32_t seed = 0;
  for (const Geometry& geometry : kGeometries) {
    for (int blocks = 1; blocks <= kernels().max_group; ++blocks) {
      for (int width = 2; width <= 60; ++width) {
        for (const Results results : {Results::kPooled, Results::kPooledRunningMax}) {
          ++seed;
          KernelCall call(kernels(), geometry, blocks, 1, width, kAllColumns / 10, results, seed,
                          kEdges[seed % 2]);
          const auto expected = call.expected();
          ASSERT_EQ(call.run(), expected) << width << " pixels, step " << geometry.step();
        }
      }
    }
  }
}

// The largest sums that a net may have, of bytes and weights at the ends of their ranges.
TEST_P(IntegerConvKernels, AddUpTheLargestProducts) {
  constexpr int kMany = INT32_MAX / (255 * 127) / kInputs;
  const auto check = [&](int activation, int8_t weight) {
    std::vector<uint8_t> input(kLanes, byte_of(kernels(), activation));
    std::vector<int8_t> weights(static_cast<size_t>(kMany) * kLanes * kInputs, weight);
    std::vector<uint8_t> packed(static_cast<size_t>(kMany * kernels().cluster_bytes) + 64);
    kernels().pack(weights.data(), kMany, packed.data());
    const std::vector<int32_t> offsets(kMany);
    const std::vector<int32_t> start(kLanes, kernels().activation_offset * weight * kInputs * kMany);
    const std::vector<float> factor(kLanes, 1), term(kLanes, 0);
    std::vector<float> output(kLanes);
    IntegerConvTask task{};
    task.input = input.data();
    task.input_step = kLanes;
    task.weights = packed.data();
    task.offsets = offsets.data();
    task.columns = kMany;
    task.start = start.data();
    task.factor = factor.data();
    task.term = term.data();
    task.floor = -INFINITY;
    task.output = reinterpret_cast<uint8_t*>(output.data());
    task.rows = task.width = 1;
    kernels().conv[kQuadStep16][0](task);
    const int64_t sum = int64_t{activation} * weight * kInputs * kMany;
    EXPECT_EQ(output, std::vector<float>(kLanes, static_cast<float>(sum)));
  };
  for (const int weight : {127, 64, 16, 7, 1}) {  // of 64, and of smaller ones more, two products fit 16 bits
    check(255, static_cast<int8_t>(weight));
    check(255, static_cast<int8_t>(-weight));
  }
  check(0, 127);
}

class BytePoolKernels : public IntegerTest {};

TEST_P(BytePoolKernels, AreTheLargestBytes) {
  struct RowWindow {
    int kernel, stride, pad_left, pad_right;
  };
  constexpr RowWindow kWindows[] = {{3, 2, 0, 0}, {3, 2, 1, 1}, {3, 2, 0, 2}, {2, 2, 0, 0},
                                    {1, 1, 0, 0}, {3, 1, 1, 1}, {7, 3, 6, 6}, {2, 5, 1, 1}};
  for (const RowWindow& w : kWindows) {
    for (int width = 1; width <= 20; ++width) {
      for (int rows = 1; rows <= 4; ++rows) {
        const int windows = pool_extent(width, w.kernel, w.stride, w.pad_left, w.pad_right, true);
        if (windows < 1) continue;
        Random random(static_cast<uint32_t>(width));
        const Edge edge = kEdges[width % 2];
        const int row = (width + 2) * kLanes;
        Guarded<uint8_t> input(static_cast<size_t>(rows * row - 2 * kLanes), edge, 0);
        for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<uint8_t>(random.between(0, 255));
        Guarded<uint8_t> output(static_cast<size_t>(windows * kLanes), edge, kCanary);
        kernels().max_pool(
            {input.data(), row, rows, width, w.kernel, w.stride, w.pad_left, output.data(), windows});
        for (int i = 0; i < windows * kLanes; ++i) {
          const int left = i / kLanes * w.stride - w.pad_left;
          int largest = 0;
          for (int y = 0; y < rows; ++y) {
            for (int x = std::max(left, 0); x < std::min(left + w.kernel, width); ++x) {
              const uint8_t byte = input[static_cast<size_t>(y * row + x * kLanes + i % kLanes)];
              largest = std::max(largest, activation_of(kernels(), byte));
            }
          }
          ASSERT_EQ(output[static_cast<size_t>(i)], byte_of(kernels(), largest))
              << width << " pixels, " << rows << " rows, at " << i;
        }
      }
    }
  }
}

SQUISH_TEST_EACH_INTEGER_ISA(IntegerConvKernels);
SQUISH_TEST_EACH_INTEGER_ISA(BytePoolKernels);

}  // namespace
}  // namespace squish
