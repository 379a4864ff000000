#include "support/reference_output.h"

#include <cmath>

#include "reference/run.h"

namespace squish::testing {

std::vector<Expected> reference_output(const Model& model, const ImageBatch& image, bool winograd) {
  const bool is_uint8 = image.format == PixelFormat::kU8Nhwc;
  const auto input = reference::read_image(model.description().input, {image.data, is_uint8}, image.height,
                                           image.width, true);
  const auto output = reference::run(model.graph(), input, winograd);
  std::vector<Expected> expected;
  for (size_t i = 0; i < output.value.size(); ++i) {
    expected.push_back({output.value[i], reference::kLambda * std::sqrt(output.variance[i])});
  }
  return expected;
}

}  // namespace squish::testing
