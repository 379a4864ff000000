#include "support/check_net.h"

#include <gtest/gtest.h>

#include "support/expected.h"
#include "support/reference_output.h"

namespace squish::testing {
SessionOptions session_options(const std::string& isa, int threads, bool winograd) {
  SessionOptions options;
  options.isa = isa;
  options.threads = threads;
  options.winograd = winograd;
  return options;
}

void check_net(const std::shared_ptr<const Model>& model, const Images& images, bool winograd,
               const std::vector<int>& threads) {
  const auto expected = reference_output(*model, images.part(0, 1), winograd);
  for (const std::string& isa : available_isas()) {
    SCOPED_TRACE(isa);
    Session alone(model, session_options(isa, 1, winograd));
    std::vector<float> wanted;
    for (int64_t n = 0; n < images.count(); ++n) {
      const auto output = run(alone, images.part(n, 1));
      wanted.insert(wanted.end(), output.begin(), output.end());
    }
    ASSERT_TRUE(all_within(wanted.data(), expected));
    ASSERT_TRUE(all_equal(run(alone, images.batch()), wanted)) << "in a batch, on one thread";
    for (int count : threads) {
      Session session(model, session_options(isa, count, winograd));
      ASSERT_TRUE(all_equal(run(session, images.batch()), wanted)) << count << " threads";
      ASSERT_TRUE(all_equal(run(session, images.batch()), wanted)) << count << " threads, second run";
    }
  }
}

void check_net(const std::shared_ptr<const Model>& model, int height, int width) {
  const Shape shape{model->input_shape().channels, height, width};
  check_net(model, Images(PixelFormat::kF32Nchw, kImages, shape, 1), true);
  check_net(model, Images(PixelFormat::kU8Nhwc, kImages, shape, 2), false);
}

}  // namespace squish::testing
