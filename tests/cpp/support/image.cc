#include "support/image.h"

#include "support/random.h"

namespace squish::testing {

Images::Images(PixelFormat format, int64_t count, Shape shape, uint32_t seed)
    : format_(format), count_(count), shape_(shape) {
  Random random(seed);
  for (int64_t i = 0; i < count * shape.elements(); ++i) {
    if (format == PixelFormat::kF32Nchw) {
      floats_.push_back(random.value(2));
    } else {
      bytes_.push_back(static_cast<uint8_t>(random.between(0, 255)));
    }
  }
}

ImageBatch Images::part(int64_t first, int64_t count) const {
  const auto at = static_cast<size_t>(first * shape_.elements());
  const bool is_float = format_ == PixelFormat::kF32Nchw;
  const void* data = is_float ? static_cast<const void*>(&floats_.at(at)) : &bytes_.at(at);
  return {data, format_, count, shape_.height, shape_.width};
}

std::vector<float> run(Session& session, const ImageBatch& batch) {
  const Shape out = session.model().output_shape(batch.height, batch.width);
  std::vector<float> output(static_cast<size_t>(batch.count * out.elements()));
  session.run(batch, output.data());
  return output;
}

}  // namespace squish::testing
