// Batches of random images.
#pragma once

#include <cstdint>
#include <vector>

#include "squish/session.h"

namespace squish::testing {

// A batch that owns its pixels, the same for the same seed.
class Images {
 public:
  Images(PixelFormat format, int64_t count, Shape shape, uint32_t seed);

  ImageBatch batch() const { return part(0, count_); }
  ImageBatch part(int64_t first, int64_t count) const;

  int64_t count() const { return count_; }

  // Pixels of a kF32Nchw batch.
  std::vector<float>& floats() { return floats_; }

 private:
  PixelFormat format_;
  int64_t count_;
  Shape shape_;
  std::vector<float> floats_;
  std::vector<uint8_t> bytes_;
};

// The outputs of a batch.
std::vector<float> run(Session& session, const ImageBatch& batch);

}  // namespace squish::testing
