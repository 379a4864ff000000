// Guarded activations for kernels of integer arithmetic, in planes of quads.
#pragma once

#include <cstring>
#include <utility>

#include "cuda/integer_tasks.h"
#include "support/planes.h"

namespace squish::testing {

// How bytes of this scale and zero are held; scale 0: floats.
inline cuda::Held held_as(float scale, int zero) {
  return {scale, scale != 0 ? static_cast<float>(1 / double{scale}) : 0, zero};
}

// Channels in one or two segments. Channels that no segment has are anything.
class HeldImages {
 public:
  HeldImages(int images, std::vector<int> segments, int height, int width, cuda::Held held, Edge edge)
      : images_(images),
        order_{cuda::kQuad, std::move(segments)},
        height_(height),
        width_(width),
        held_(held),
        value_words_(held.scale != 0 ? 1 : cuda::kQuad),
        stride_(order_.stored_channels() / cuda::kQuad * height * width + 1),
        words_(static_cast<size_t>((images * stride_ - 1) * value_words_), edge, kCanaryWord) {}

  // Bytes, or floats around 0, of which one might be -0.
  void fill(Random& random) {
    for (int n = 0; n < images_; ++n) {
      for (int word = 0; word < (stride_ - 1) * value_words_; ++word) {
        uint32_t& at = words_[static_cast<size_t>(n * stride_ * value_words_ + word)];
        if (in_bytes()) {
          at = 0;
          for (int i = 0; i < cuda::kQuad; ++i) at |= static_cast<uint32_t>(random.between(0, 255)) << 8 * i;
        } else {
          const float value = random.chance(0.02) ? -0.0f : random.value(3);
          std::memcpy(&at, &value, sizeof at);
        }
      }
    }
  }

  template <typename Data>
  cuda::HeldPlanes<Data> planes() {
    return {words_.data(),        stride_, order_.stored_channels() / cuda::kQuad, height_, width_,
            order_.for_kernels(), held_};
  }
  cuda::Planes<const cuda::ByteQuad> quads() {
    return {reinterpret_cast<const cuda::ByteQuad*>(words_.data()),
            stride_,
            order_.stored_channels() / cuda::kQuad,
            height_,
            width_,
            1};
  }

  bool in_bytes() const { return held_.scale != 0; }
  int channels() const { return order_.channels(); }
  int height() const { return height_; }
  int width() const { return width_; }

  int byte(int n, int c, int y, int x) const {
    const int stored = order_.stored_channel(c);
    return static_cast<int>(words_[quad_at(n, stored, y, x)] >> 8 * (stored % cuda::kQuad) & 0xFF);
  }
  float value(int n, int c, int y, int x) const {
    if (in_bytes()) return held_.scale * static_cast<float>(byte(n, c, y, x) - held_.zero);
    const int stored = order_.stored_channel(c);
    float value = 0;
    std::memcpy(&value, &words_[quad_at(n, stored, y, x) + static_cast<size_t>(stored % cuda::kQuad)],
                sizeof value);
    return value;
  }

  // Whether it is, to the bit, what hold(value, these) makes of value(n, c, y, x), and between images as it was.
  template <typename Wanted>
  ::testing::AssertionResult holds(const Wanted& wanted) const {
    for (int n = 0; n < images_; ++n) {
      for (int c = 0; c < channels(); ++c) {
        for (int y = 0; y < height_; ++y) {
          for (int x = 0; x < width_; ++x) {
            const float got = in_bytes() ? static_cast<float>(byte(n, c, y, x)) : value(n, c, y, x);
            const float want = wanted(n, c, y, x);
            if (std::memcmp(&got, &want, sizeof got) == 0) continue;
            return ::testing::AssertionFailure()
                   << "image " << n << ", channel " << c << ", row " << y << ", column " << x << ": got "
                   << got << ", wanted " << want;
          }
        }
      }
      if (n + 1 == images_) continue;
      for (int word = 0; word < value_words_; ++word) {
        if (words_[static_cast<size_t>(((n + 1) * stride_ - 1) * value_words_ + word)] != kCanaryWord)
          return ::testing::AssertionFailure() << "written behind image " << n;
      }
    }
    return ::testing::AssertionSuccess();
  }

 private:
  static constexpr uint32_t kCanaryWord = 0x7FC0A5A5;  // NaN

  // The word of a quad, or its first.
  size_t quad_at(int n, int stored, int y, int x) const {
    const int quad = n * stride_ + (stored / cuda::kQuad * height_ + y) * width_ + x;
    return static_cast<size_t>(quad * value_words_);
  }

  int images_;
  ChannelOrder order_;
  int height_, width_;
  cuda::Held held_;
  int value_words_;  // of a quad
  int stride_;       // quads from an image to the next, of which one is nobody's
  Guarded<uint32_t> words_;
};

// Byte of a value, as the format has it; each operation rounds by itself.
inline float rounded_byte(float value, float factor, float term, int low) {
  const volatile float product = value * factor;
  return std::clamp(std::nearbyint(product + term), static_cast<float>(low), 255.0f) + 0.0f;  // no -0
}
inline float hold(float value, const cuda::Held& held) {
  return held.scale == 0 ? value : rounded_byte(value, held.inverse, static_cast<float>(held.zero), 0);
}

}  // namespace squish::testing
