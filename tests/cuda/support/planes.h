// Guarded images for kernels.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "cuda/tasks.h"
#include "support/cluster_list.h"
#include "support/guarded.h"
#include "support/random.h"
#include "support/storage.h"

namespace squish::testing {

template <typename T>
class GuardedPlanes {
 public:
  // Between two images lie `gap` values that nobody may write.
  GuardedPlanes(int images, int channels, int height, int width, Edge edge)
      : images_(images),
        channels_(channels),
        height_(height),
        width_(width),
        stride_(channels * height * width + kGap),
        values_(static_cast<size_t>(images * stride_ - kGap), edge, Storage<T>::make(kCanary)) {}

  void fill(Random& random) {
    for (int n = 0; n < images_; ++n) {
      for (int i = 0; i < channels_ * height_ * width_; ++i) {
        values_[static_cast<size_t>(n * stride_ + i)] = Storage<T>::make(random.value());
      }
    }
  }

  cuda::Planes<T> planes() { return {values_.data(), stride_, channels_, height_, width_}; }
  cuda::Planes<const T> const_planes() { return {values_.data(), stride_, channels_, height_, width_}; }
  T& value(int n, int i) { return values_[static_cast<size_t>(n * stride_ + i)]; }

  // Exact.
  ExpectedImage image(int n) const {
    ExpectedImage image(channels_, height_, width_);
    for (size_t i = 0; i < image.values.size(); ++i) {
      image.values[i] = {Storage<T>::get(values_[static_cast<size_t>(n * stride_) + i]), 0};
    }
    return image;
  }

  // Whether image n is what was expected, and the gap behind it untouched.
  ::testing::AssertionResult holds(int n, const ExpectedImage& expected) const {
    std::vector<Expected> wanted = expected.values;
    for (Expected& e : wanted) e.bound += Storage<T>::kEps * (std::abs(e.wanted) + e.bound);
    if (n + 1 < images_) wanted.insert(wanted.end(), kGap, {Storage<T>::rounded(kCanary), 0});
    std::vector<float> got;
    for (size_t i = 0; i < wanted.size(); ++i)
      got.push_back(Storage<T>::get(values_[static_cast<size_t>(n * stride_) + i]));
    return all_within(got.data(), wanted);
  }

 private:
  static constexpr int kGap = 5;
  int images_, channels_, height_, width_;
  int stride_;
  Guarded<T> values_;
};

}  // namespace squish::testing
