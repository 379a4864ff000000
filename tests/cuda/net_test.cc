// Whole nets through planner, packer, arena and kernels on an emulated device, against the reference in double
// precision.
#include <gtest/gtest.h>

#include "support/check_net_on_cuda.h"
#include "support/net_builder.h"
#include "support/random_net.h"
#include "support/test_runtime.h"
#include "support/thread_orders.h"

namespace squish {
namespace {

using cuda::PlanPolicy;
using testing::check_net_on_cuda;
using testing::ConvStyle;
using testing::Images;
using testing::NetBuilder;
using testing::square;
using testing::thread_order;

class CudaRandomNets : public ::testing::TestWithParam<uint32_t> {};

TEST_P(CudaRandomNets, AgreeWithTheReference) {
  const uint32_t seed = GetParam();
  const testing::RandomNet net = testing::random_net(seed);
  const Shape shape{net.model->input_shape().channels, net.height, net.width};
  const PixelFormat format = seed / 4 % 2 == 0 ? PixelFormat::kF32Nchw : PixelFormat::kU8Nhwc;
  constexpr PlanPolicy kPolicies[] = {PlanPolicy::kModelled, PlanPolicy::kWhole, PlanPolicy::kApart,
                                      PlanPolicy::kMeasured};
  const auto storage = seed / 2 % 3 == 0 ? cuda::StorageType::kF16 : cuda::StorageType::kF32;
  const PlanPolicy policy = kPolicies[seed % (testing::measuring_is_quick() ? 4 : 3)];
  for (bool tensor_cores : {false, true}) {
    check_net_on_cuda(net.model, Images(format, 2, shape, seed), policy, thread_order(seed), storage,
                      tensor_cores);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, CudaRandomNets, ::testing::Range(0u, unsigned{SQUISH_TEST_CUDA_NETS}));

// The layers of torchvision's SqueezeNet 1.1, all of its widths divided by four.
TEST(CudaNet, SqueezeNet) {
  NetBuilder net(1, 3);
  net.max_pool(net.conv(-1, 16, square(3, 2)), square(3, 2), true);
  const auto fire = [&](int squeeze, int expand) { net.fire(net.last(), {squeeze, expand, expand}); };
  const auto pool = [&] { net.max_pool(net.last(), square(3, 2), true); };
  fire(4, 16);
  fire(4, 16);
  pool();
  fire(8, 32);
  fire(8, 32);
  pool();
  fire(12, 48);
  fire(12, 48);
  fire(16, 64);
  fire(16, 64);
  net.global_average_pool(net.conv(net.last(), 10, square(1)));
  check_net_on_cuda(net.model(), 65, 71);
}

// On a GPU this is where plans are measured.
TEST(CudaNet, Measured) {
  NetBuilder net(19, 3);
  net.max_pool(net.conv(-1, 16, square(3, 2)), square(3, 2), true);
  net.fire(net.fire(net.last(), {8, 40, 40}), {8, 40, 40});
  net.global_average_pool(net.conv(net.last(), 10, square(1)));
  const Images images(PixelFormat::kF32Nchw, 2, {3, 40, 41}, 1);
  for (auto storage : {cuda::StorageType::kF32, cuda::StorageType::kF16})
    check_net_on_cuda(net.model(), images, PlanPolicy::kMeasured, thread_order(0), storage, true);
}

TEST(CudaNet, ExpandsThatAreGone) {
  NetBuilder net(7, 3);
  net.fire(-1, {8, 0, 37});
  net.fire(0, {8, 21, 0});
  net.fire(1, {1, 1, 0});
  check_net_on_cuda(net.model(), 14, 13);
}

TEST(CudaNet, WeightsThatAreAllZero) {
  NetBuilder net(9, 3);
  const ConvStyle dead{true, 0};
  net.fire(net.conv(-1, 20, square(3, 2), dead), {5, 18, 19}, dead);
  check_net_on_cuda(net.model(), 19, 19);
}

TEST(CudaNet, BypassesOfTheInputAndOfAnEqualWidth) {
  NetBuilder net(10, 3);
  net.add(-1, net.conv(-1, 3, square(3, 1, 1)), true);
  const int first = net.fire(1, {4, 10, 23});
  net.add(first, net.fire(first, {4, 23, 10}));
  check_net_on_cuda(net.model(), 15, 20);
}

// Not of the input, so that on tensor cores channels lie in blocks.
TEST(CudaNet, BypassesOfOtherSegments) {
  NetBuilder net(11, 3);
  const int first = net.fire(net.conv(-1, 20, square(3, 1, 1)), {4, 10, 23});
  const int other = net.add(net.fire(first, {4, 23, 10}), first, true);
  net.add(other, net.conv(other, 33, square(1)));
  check_net_on_cuda(net.model(), 9, 12);
}

TEST(CudaNet, PoolsThatStandAlone) {
  NetBuilder net(13, 3);
  const int branch = net.conv(-1, 20, square(3));
  const int pooled = net.max_pool(branch, square(3, 2));
  net.add(pooled, net.conv(branch, 20, square(3, 2)), true);
  net.global_average_pool(net.max_pool(net.last(), square(2, 2, 1), true));
  check_net_on_cuda(net.model(), 20, 25);
}

// The average is a step of its own, so that the Fire before it may run whole.
TEST(CudaNet, FireThenAverage) {
  NetBuilder net(17, 3);
  net.global_average_pool(net.fire(-1, {4, 9, 20}));
  check_net_on_cuda(net.model(), 9, 14);
}

TEST(CudaNet, OnePixel) {
  NetBuilder net(14, 2);
  net.fire(-1, {3, 5, 5});
  net.max_pool(0, square(2, 2), true);
  check_net_on_cuda(net.model(), 1, 1);
}

class CudaPooledFires : public ::testing::TestWithParam<int> {};

TEST_P(CudaPooledFires, AroundTheTile) {
  NetBuilder net(8, 3);
  net.max_pool(net.fire(-1, {17, 20, 33}), square(3, 2));
  net.max_pool(net.fire(1, {17, 20, 33}), square(3, 2), true);
  check_net_on_cuda(net.model(), GetParam(), 33 - GetParam() / 2);
}

INSTANTIATE_TEST_SUITE_P(Extents, CudaPooledFires, ::testing::Values(14, 15, 16, 17, 31));

// Too wide to stay in shared memory even for one pixel: runs apart, whatever was asked for.
TEST(CudaNet, SqueezeThatDoesNotFitInSharedMemory) {
  NetBuilder net(16, 2);
  net.fire(-1, {1300, 3, 2}, {true, 0.01});
  check_net_on_cuda(net.model(), 3, 4);
}

}  // namespace
}  // namespace squish
