#include "support/check_net_on_cuda.h"

#include <gtest/gtest.h>

#include <utility>

#include "cuda/cuda_backend.h"
#include "support/expected.h"
#include "support/reference_output.h"
#include "support/test_runtime.h"
#include "support/thread_orders.h"

namespace squish::testing {
namespace {

std::vector<float> run(Backend& backend, const Model& model, const ImageBatch& batch) {
  const Shape out = model.output_shape(batch.height, batch.width);
  std::vector<float> output(static_cast<size_t>(batch.count * out.elements()));
  backend.run(batch, output.data(), nullptr);
  return output;
}

// How far off results may be. Every term of the reference's model is in proportion to float32's roundoff u, and a sum of n
// products is granted at least the n + 1 roundings of each product and of the bias.
//
// Stored as f16, a weight, an activation that is read and one that is written are rounded beside the sum, 2^13 times as
// coarsely; without tensor cores the sum's own roundings too, as each of the n products is added in f16. Halves below 2^-14
// are coarser than that: each is off by up to 2^-25.
//
// On tensor cores a float32 a is high + low + rest, |low| <= 2^-11 |a|, |rest| <= 2^-23 |a|. What a b is multiplied without
// is low low and each rest times the other factor: 2^-22 + 2 2^-23 = 2^-21 = 8 u of it, so that a sum is off by at most 8 u
// of its terms. At least 2 u were granted: 4 times that. Beside it, three products are added where there was one, and cut
// off rather than rounded, which is twice as coarse: 6 times the roundings. Products of halves are exact, and what their
// sums lose is nothing to f16.
std::vector<Expected> expected_output(const Model& model, const ImageBatch& image, cuda::StorageType storage,
                                      bool tensor_cores) {
  constexpr double kSubnormals = 0x1p-15, kThreeProducts = 6 + 4;
  const bool halves = storage == cuda::StorageType::kF16;
  std::vector<Expected> expected = reference_output(model, image, false);
  for (Expected& e : expected) {
    if (halves) {
      e.bound = (tensor_cores ? 3 : 4) * 0x1p13 * e.bound + kSubnormals;
    } else if (tensor_cores) {
      e.bound *= kThreeProducts;
    }
  }
  return expected;
}

// One image after the other, each by itself.
std::vector<float> run_alone(Backend& backend, const Model& model, const Images& images) {
  std::vector<float> outputs;
  for (int64_t n = 0; n < images.count(); ++n) {
    const auto output = run(backend, model, images.part(n, 1));
    outputs.insert(outputs.end(), output.begin(), output.end());
  }
  return outputs;
}

}  // namespace

void check_net_on_cuda(const std::shared_ptr<const Model>& model, const Images& images,
                       cuda::PlanPolicy policy, emulator::Order order, cuda::StorageType storage,
                       bool tensor_cores) {
  const emulator::ScopedOptions options({order, 1});
  auto runtime = make_test_runtime();
  tensor_cores = tensor_cores && runtime->properties().tensor_cores;
  cuda::CudaBackend backend(model, std::move(runtime), policy, storage, tensor_cores);
  std::vector<Expected> expected;
  // Without tensor cores the others follow from the batch's being the same as they are alone.
  for (int64_t n = 0; n < (tensor_cores ? images.count() : 1); ++n) {
    const auto image = expected_output(*model, images.part(n, 1), storage, tensor_cores);
    expected.insert(expected.end(), image.begin(), image.end());
  }
  const auto alone = run_alone(backend, *model, images), together = run(backend, *model, images.batch());
  const char* const where = tensor_cores ? "on tensor cores" : "without tensor cores";
  ASSERT_TRUE(all_within(alone.data(), expected)) << where;
  ASSERT_TRUE(all_within(together.data(), expected)) << where << ", in a batch";
  if (!tensor_cores) {
    ASSERT_TRUE(all_equal(together, alone)) << "in a batch";
  }
  ASSERT_TRUE(all_equal(run(backend, *model, images.batch()), together)) << where << ", second run";
}

void check_net_on_cuda(const std::shared_ptr<const Model>& model, int height, int width) {
  constexpr int64_t kImages = 2;
  const Shape shape{model->input_shape().channels, height, width};
  const Images floats(PixelFormat::kF32Nchw, kImages, shape, 1),
      pixels(PixelFormat::kU8Nhwc, kImages, shape, 2);
  for (emulator::Order order : kThreadOrders) {
    check_net_on_cuda(model, floats, cuda::PlanPolicy::kWhole, order);
    check_net_on_cuda(model, pixels, cuda::PlanPolicy::kApart, order);
  }
  constexpr auto kF16 = cuda::StorageType::kF16, kF32 = cuda::StorageType::kF32;
  constexpr cuda::PlanPolicy kPolicies[] = {cuda::PlanPolicy::kModelled, cuda::PlanPolicy::kWhole,
                                            cuda::PlanPolicy::kApart};
  for (size_t turn = 0; turn < 3; ++turn) {
    const bool halves = turn == 1;
    check_net_on_cuda(model, halves ? pixels : floats, kPolicies[turn], thread_order(turn),
                      halves ? kF16 : kF32, true);
  }
  if (measuring_is_quick()) {
    check_net_on_cuda(model, floats, cuda::PlanPolicy::kMeasured, thread_order(0));
    check_net_on_cuda(model, pixels, cuda::PlanPolicy::kMeasured, thread_order(1), kF16, true);
  }
  check_net_on_cuda(model, floats, cuda::PlanPolicy::kApart, thread_order(0), kF16);
  check_net_on_cuda(model, pixels, cuda::PlanPolicy::kWhole, thread_order(1), kF16);
}

}  // namespace squish::testing
