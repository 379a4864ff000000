// Whole nets in integer arithmetic on an emulated device: what the reference computes, to the bit.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "cuda/cuda_backend.h"
#include "model/quantisation.h"
#include "reference/integers.h"
#include "squish/error.h"
#include "support/expected.h"
#include "support/image.h"
#include "support/net_builder.h"
#include "support/random_net.h"
#include "support/test_runtime.h"
#include "support/thread_orders.h"
#include "support/throws.h"

namespace squish {
namespace {

using testing::all_equal;
using testing::ConvStyle;
using testing::Images;
using testing::NetBuilder;
using testing::square;

constexpr ConvStyle kI8{true, 1, false, WeightType::kI8}, kI4{true, 0.3, true, WeightType::kI4},
    kI8NoRelu{false, 1, false, WeightType::kI8};
constexpr int64_t kImages = 3;

std::vector<float> expected_output(const Model& model, const Images& images) {
  std::vector<float> expected;
  for (int64_t n = 0; n < images.count(); ++n) {
    const ImageBatch image = images.part(n, 1);
    const auto values =
        image.format == PixelFormat::kU8Nhwc
            ? reference::normalised(model.description().input, static_cast<const uint8_t*>(image.data),
                                    image.height, image.width)
            : std::vector<float>();
    const float* const floats = values.empty() ? static_cast<const float*>(image.data) : values.data();
    const auto output = reference::run_in_integers(model.graph(), floats, image.height, image.width);
    expected.insert(expected.end(), output.begin(), output.end());
  }
  return expected;
}

std::vector<float> run(Backend& backend, const Model& model, const ImageBatch& batch) {
  const Shape out = model.output_shape(batch.height, batch.width);
  std::vector<float> output(static_cast<size_t>(batch.count * out.elements()));
  backend.run(batch, output.data(), nullptr);
  return output;
}

// The batch and its last image alone, which has fewer pixels a thread.
void check_integer_net(const std::shared_ptr<const Model>& model, const Images& images, emulator::Order order,
                       cuda::PlanPolicy policy, bool tensor_cores) {
  ASSERT_EQ(why_not_in_integers(model->graph()), "");
  const auto wanted = expected_output(*model, images);
  const emulator::ScopedOptions options({order, 1});
  cuda::CudaBackend backend(model, testing::make_test_runtime(), policy, cuda::StorageType::kI8,
                            tensor_cores);
  ASSERT_TRUE(all_equal(run(backend, *model, images.batch()), wanted));
  ASSERT_TRUE(all_equal(run(backend, *model, images.batch()), wanted)) << "second run";
  const int64_t last = images.count() - 1;
  const auto one = static_cast<std::ptrdiff_t>(wanted.size()) / images.count();
  ASSERT_TRUE(all_equal(run(backend, *model, images.part(last, 1)),
                        std::vector<float>(wanted.end() - one, wanted.end())))
      << "alone";
}

void check_integer_net(NetBuilder& net, int height, int width) {
  net.hold_in_bytes();
  const auto model = net.model();
  const Shape shape{model->input_shape().channels, height, width};
  const Images floats(PixelFormat::kF32Nchw, kImages, shape, 1),
      pixels(PixelFormat::kU8Nhwc, kImages, shape, 1);
  using cuda::PlanPolicy;
  check_integer_net(model, floats, testing::thread_order(0), PlanPolicy::kModelled, false);
  check_integer_net(model, pixels, testing::thread_order(1), PlanPolicy::kModelled, true);
  if (testing::measuring_is_quick())
    check_integer_net(model, floats, testing::thread_order(2), PlanPolicy::kMeasured, true);
}

class CudaRandomIntegerNets : public ::testing::TestWithParam<uint32_t> {};

TEST_P(CudaRandomIntegerNets, AreTheReferenceToTheBit) {
  const uint32_t seed = GetParam();
  const testing::RandomNet net = testing::random_integer_net(seed);
  const Shape shape{net.model->input_shape().channels, net.height, net.width};
  const PixelFormat format = seed / 4 % 2 == 0 ? PixelFormat::kF32Nchw : PixelFormat::kU8Nhwc;
  const Images images(format, kImages, shape, seed);
  const auto order = testing::thread_order(seed);
  for (bool tensor_cores : {false, true}) {
    check_integer_net(net.model, images, order,
                      seed % 2 == 0 || !testing::measuring_is_quick() ? cuda::PlanPolicy::kModelled
                                                                      : cuda::PlanPolicy::kMeasured,
                      tensor_cores);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, CudaRandomIntegerNets,
                         ::testing::Range(0u, unsigned{2 * SQUISH_TEST_CUDA_NETS}));

TEST(CudaIntegerNet, AnyWindow) {
  const Window windows[] = {
      square(1),       square(1, 2),    square(2),    square(3, 1, 1),          square(3, 2, 1),
      square(5, 1, 2), square(7, 2, 3), square(4, 3), {1, 7, 1, 1, 0, 3, 0, 3}, {5, 2, 1, 3, 4, 0, 1, 1}};
  for (const Window& window : windows) {
    for (int channels = 1; channels <= 4; ++channels) {
      NetBuilder net(1, channels);
      net.conv(net.conv(-1, 20, window, kI8), 33, square(1), kI8NoRelu);
      check_integer_net(net, 12, 17);
    }
    NetBuilder net(2, 3);
    net.conv(net.conv(net.conv(-1, 20, square(1), kI8), 33, window, kI4), 5, square(1), kI8);
    check_integer_net(net, 13, 14);
  }
}

TEST(CudaIntegerNet, AverageThenConvolution) {
  NetBuilder net(2, 3);
  net.conv(-1, 24, square(3, 2), kI8);
  net.conv(net.global_average_pool(0), 10, square(1), kI8NoRelu);
  check_integer_net(net, 33, 31);
}

TEST(CudaIntegerNet, AverageOfAPool) {
  NetBuilder net(3, 3);
  net.conv(-1, 24, square(3, 2), kI8);
  const int pooled = net.max_pool(0, square(3, 2));
  net.add(net.global_average_pool(pooled), net.global_average_pool(net.conv(pooled, 24, square(1), kI4)));
  check_integer_net(net, 33, 31);
}

// Of more pixels than threads of a block, in bytes and in floats, whose channels lie in two segments.
TEST(CudaIntegerNet, AveragesOfFires) {
  NetBuilder net(14, 3);
  const int stem = net.fire(net.conv(-1, 20, square(3), kI8), {6, 17, 18}, kI8);
  net.global_average_pool(net.fire(stem, {6, 17, 18}, kI8));
  check_integer_net(net, 15, 19);
  NetBuilder bytes(15, 3);
  const int fire = bytes.fire(bytes.conv(-1, 20, square(3), kI8), {6, 17, 18}, kI8);
  bytes.add(bytes.global_average_pool(fire), bytes.global_average_pool(bytes.conv(fire, 35, square(1), kI8)));
  check_integer_net(bytes, 15, 19);
}

TEST(CudaIntegerNet, ConvolutionAndPoolForASum) {
  NetBuilder net(4, 3);
  const int stem = net.conv(-1, 20, square(3), kI8);
  const int a = net.max_pool(net.conv(stem, 20, square(1), kI8), square(3, 2));
  const int b = net.max_pool(net.conv(stem, 20, square(3, 1, 1), kI8NoRelu), square(3, 2));
  net.conv(net.add(a, b, true), 7, square(1), kI8NoRelu);
  check_integer_net(net, 20, 25);
}

TEST(CudaIntegerNet, PoolBeforeEverything) {
  NetBuilder net(5, 3);
  net.fire(net.max_pool(-1, square(3, 2), true), {6, 17, 18}, kI8);
  check_integer_net(net, 22, 29);
}

TEST(CudaIntegerNet, InputInFloats) {
  NetBuilder net(16, 3);
  net.conv(net.global_average_pool(net.max_pool(-1, square(3, 2, 1))), 10, square(1), kI8NoRelu);
  check_integer_net(net, 21, 18);
}

// The output is a step of its own.
TEST(CudaIntegerNet, OutputOfAPool) {
  NetBuilder net(6, 3);
  const int stem = net.conv(-1, 20, square(3), kI8);
  net.add(net.conv(stem, 20, square(1), kI8), stem);
  net.max_pool(net.max_pool(net.last(), square(2, 2)), square(2, 2));
  check_integer_net(net, 20, 25);
  NetBuilder fused(17, 3);
  fused.max_pool(fused.fire(fused.conv(-1, 20, square(3), kI8), {6, 17, 18}, kI8), square(3, 2));
  check_integer_net(fused, 20, 25);
}

TEST(CudaIntegerNet, SumsOfFiresOfDifferentWidths) {
  NetBuilder net(7, 3);
  const int stem = net.conv(-1, 20, square(3, 2), kI8);
  const int sum = net.add(net.fire(stem, {6, 17, 18}, kI8), net.fire(stem, {5, 18, 17}, kI4), true);
  net.global_average_pool(net.conv(sum, 10, square(1), kI8));
  check_integer_net(net, 25, 20);
}

TEST(CudaIntegerNet, OnePixelAndDeadWeights) {
  NetBuilder net(8, 2);
  net.fire(net.fire(-1, {3, 5, 5}, kI8), {3, 0, 9}, {true, 0, false, WeightType::kI8});
  check_integer_net(net, 1, 1);
}

std::shared_ptr<const Model> small_model() {
  NetBuilder net(10, 3);
  net.max_pool(net.conv(-1, 20, square(3, 2), kI8), square(3, 2), true);
  const int fire = net.fire(1, {8, 16, 16}, kI4);
  net.global_average_pool(net.conv(net.add(fire, net.fire(fire, {5, 16, 16}, kI4)), 5, square(1), kI8));
  net.hold_in_bytes();
  return net.model();
}

TEST(CudaIntegerNet, ExplainNamesKernelsAndBytes) {
  const auto explain = [](bool tensor_cores) {
    return cuda::CudaBackend(small_model(), testing::make_test_runtime(), cuda::PlanPolicy::kModelled,
                             cuda::StorageType::kI8, tensor_cores)
        .explain(45, 45);
  };
  const auto kernels_of = [](const std::vector<StepInfo>& steps) {
    std::vector<std::string> kernels;
    for (const StepInfo& step : steps) kernels.push_back(step.kernel);
    return kernels;
  };
  const auto steps = explain(false), on_tensor_cores = explain(true);
  EXPECT_EQ(kernels_of(steps),
            (std::vector<std::string>{"i8_quads_cuda", "i8_conv_16x4_pooled_cuda", "i8_conv_16x4_cuda",
                                      "i8_conv_16x4_cuda", "i8_conv_16x4_cuda", "i8_conv_16x4_cuda",
                                      "i8_add_cuda", "i8_conv_16x4_cuda", "f32_average_cuda"}));
  EXPECT_EQ(steps[0].why.find("the file is made for integer arithmetic: values in bytes, 0.0"), 0u)
      << steps[0].why;
  EXPECT_NE(steps[2].why.find("values in bytes, 0.0"), std::string::npos) << steps[2].why;
  EXPECT_NE(steps[6].why.find("from i8 and f32 to i8"), std::string::npos) << steps[6].why;
  EXPECT_NE(steps[7].why.find("values in floats"), std::string::npos) << steps[7].why;
  EXPECT_NE(steps[8].why.find("from f32 to f32"), std::string::npos) << steps[8].why;
  EXPECT_EQ(steps[2].macs_run % 64, 0) << "16 outputs by 4 inputs";

  if (!testing::make_test_runtime()->properties().tensor_cores)
    GTEST_SKIP() << "the device has no tensor cores";
  EXPECT_EQ(
      kernels_of(on_tensor_cores),
      (std::vector<std::string>{"i8_quads_cuda", "i8_conv_16x4_mma_pooled_cuda", "i8_conv_16x4_mma_cuda",
                                "i8_conv_16x4_mma_cuda", "i8_conv_16x4_mma_cuda", "i8_conv_16x4_mma_cuda",
                                "i8_add_cuda", "i8_conv_16x4_mma_cuda", "f32_average_cuda"}));
  EXPECT_NE(on_tensor_cores[2].why.find(" steps of 4 quads by "), std::string::npos)
      << on_tensor_cores[2].why;
  const Shape& out = on_tensor_cores[2].output;
  const int64_t per_step = int64_t{16} * 16 * out.height * out.width;
  EXPECT_EQ(out.height % 2, 1) << "or dp4a's count could be a multiple, too";
  EXPECT_EQ(on_tensor_cores[2].macs_run % per_step, 0) << "16 outputs by 16 inputs";
}

TEST(CudaIntegerNet, HoldsActivationsInAFourthOfTheMemory) {
  NetBuilder net(18, 4);
  net.conv(net.conv(net.conv(-1, 32, square(3, 1, 1), kI8), 32, square(3, 1, 1), kI8), 4, square(1), kI8);
  net.hold_in_bytes();
  const auto model = net.model();
  cuda::CudaBackend bytes(model, testing::make_test_runtime(), cuda::PlanPolicy::kApart,
                          cuda::StorageType::kI8),
      floats(model, testing::make_test_runtime(), cuda::PlanPolicy::kApart, cuda::StorageType::kF32, false);
  EXPECT_EQ(4 * bytes.memory(300, 200).activations, floats.memory(300, 200).activations);
}

TEST(CudaIntegerNet, NamesTheFirstValueThatIsNotFinite) {
  const auto model = small_model();
  cuda::CudaBackend backend(model, testing::make_test_runtime(), cuda::PlanPolicy::kModelled,
                            cuda::StorageType::kI8);
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Images input(PixelFormat::kF32Nchw, 3, {3, 20, 24}, 1);
    input.floats()[((1 * 3 + 2) * 20 + 7) * 24 + 11] = bad;
    EXPECT_TRUE(testing::throws<InvalidArgument>([&] { run(backend, *model, input.batch()); },
                                                 "batch: image 1, channel 2, row 7, column 11: got "));
  }
}

}  // namespace
}  // namespace squish
