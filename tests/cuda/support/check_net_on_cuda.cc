#include "support/check_net_on_cuda.h"

#include <gtest/gtest.h>

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

// Every term of the reference's model is in proportion to float32's roundoff, and at least that of one rounding of each
// product. Stored as f16, a weight, an activation that is read and one that is written are rounded beside the sum, 2^13 times
// as coarsely. Halves below 2^-14 are coarser than that: each is off by up to 2^-25.
std::vector<Expected> expected_output(const Model& model, const ImageBatch& image,
                                      cuda::StorageType storage) {
  std::vector<Expected> expected = reference_output(model, image, false);
  if (storage == cuda::StorageType::kF32) return expected;
  constexpr double kCoarser = 3 * 0x1p13, kSubnormals = 0x1p-15;
  for (Expected& e : expected) e.bound = kCoarser * e.bound + kSubnormals;
  return expected;
}

}  // namespace

void check_net_on_cuda(const std::shared_ptr<const Model>& model, const Images& images,
                       cuda::FirePolicy policy, emulator::Order order, cuda::StorageType storage) {
  const emulator::ScopedOptions options({order, 1});
  cuda::CudaBackend backend(model, make_test_runtime(), policy, storage);
  std::vector<float> wanted;
  for (int64_t n = 0; n < images.count(); ++n) {
    const auto output = run(backend, *model, images.part(n, 1));
    wanted.insert(wanted.end(), output.begin(), output.end());
  }
  ASSERT_TRUE(all_within(wanted.data(), expected_output(*model, images.part(0, 1), storage)));
  ASSERT_TRUE(all_equal(run(backend, *model, images.batch()), wanted)) << "in a batch";
  ASSERT_TRUE(all_equal(run(backend, *model, images.batch()), wanted)) << "second run";
}

void check_net_on_cuda(const std::shared_ptr<const Model>& model, int height, int width) {
  constexpr int64_t kImages = 2;
  const Shape shape{model->input_shape().channels, height, width};
  const Images floats(PixelFormat::kF32Nchw, kImages, shape, 1),
      pixels(PixelFormat::kU8Nhwc, kImages, shape, 2);
  for (emulator::Order order : kThreadOrders) {
    check_net_on_cuda(model, floats, cuda::FirePolicy::kWhole, order);
    check_net_on_cuda(model, pixels, cuda::FirePolicy::kApart, order);
  }
  constexpr auto kF16 = cuda::StorageType::kF16;
  check_net_on_cuda(model, floats, cuda::FirePolicy::kApart, kThreadOrders[0], kF16);
  check_net_on_cuda(model, pixels, cuda::FirePolicy::kWhole, kThreadOrders[1], kF16);
}

}  // namespace squish::testing
