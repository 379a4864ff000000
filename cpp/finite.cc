#include "finite.h"

#include <cmath>
#include <string>

#include "squish/error.h"

namespace squish {

void check_finite(const ImageBatch& input, const Shape& shape) {
  if (input.format != PixelFormat::kF32Nchw) return;
  const auto* values = static_cast<const float*>(input.data);
  const int64_t total = input.count * shape.elements();
  for (int64_t i = 0; i < total; ++i) {
    if (std::isfinite(values[i])) continue;
    const int64_t column = i % shape.width, row = i / shape.width % shape.height;
    const int64_t channel = i / shape.width / shape.height % shape.channels, image = i / shape.elements();
    throw InvalidArgument("batch: image " + std::to_string(image) + ", channel " + std::to_string(channel) +
                          ", row " + std::to_string(row) + ", column " + std::to_string(column) + ": got " +
                          std::to_string(values[i]) + ", every value must be finite");
  }
}

}  // namespace squish
