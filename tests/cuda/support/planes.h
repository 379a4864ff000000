// Guarded images for kernels.
#pragma once

#include <gtest/gtest.h>

#include <numeric>
#include <utility>
#include <vector>

#include "cuda/tasks.h"
#include "support/cluster_list.h"
#include "support/guarded.h"
#include "support/random.h"
#include "support/storage.h"

namespace squish::testing {

// How channels lie: in blocks of `step`, each segment from a block of its own on. Between them lie zeros.
struct ChannelOrder {
  int step = 1;
  std::vector<int> segments;

  int channels() const { return std::accumulate(segments.begin(), segments.end(), 0); }
  int stored_channels() const {
    int stored = 0;
    for (int segment : segments) stored += (segment + step - 1) / step * step;
    return stored;
  }
  int stored_channel(int c) const {
    int first = 0;
    for (int segment : segments) {
      if (c < segment) return first + c;
      c -= segment;
      first += (segment + step - 1) / step * step;
    }
    return -1;  // c is below channels()
  }
  // As kernels are told of one or two.
  cuda::Segments for_kernels() const { return {segments[0], channels()}; }
};

// What is left of values when they were stored.
template <typename T>
ExpectedImage stored(ExpectedImage image) {
  for (Expected& e : image.values)
    e.bound += Storage<T>::kEps * (std::abs(e.wanted) + e.bound) + Storage<T>::kLeast;
  return image;
}

template <typename T>
class GuardedPlanes {
 public:
  GuardedPlanes(int images, int channels, int height, int width, Edge edge)
      : GuardedPlanes(images, ChannelOrder{1, {channels}}, height, width, edge) {}
  // Between two images lie values that nobody may write.
  GuardedPlanes(int images, ChannelOrder order, int height, int width, Edge edge)
      : images_(images),
        order_(std::move(order)),
        height_(height),
        width_(width),
        gap_(order_.step == 1 ? 5 : order_.step),  // as in the arena: blocks are read and written by words
        stride_(order_.stored_channels() * height * width + gap_),
        values_(static_cast<size_t>(images * stride_ - gap_), edge, Storage<T>::make(kCanary)) {}

  // Zeros where no channel lies.
  void fill(Random& random) {
    for (int n = 0; n < images_; ++n) {
      for (int i = 0; i < stride_ - gap_; ++i) value(n, i) = Storage<T>::make(0);
      for (int c = 0; c < order_.channels(); ++c) {
        for (int i = 0; i < height_ * width_; ++i) value(n, at(c, i)) = Storage<T>::make(random.value());
      }
    }
  }

  cuda::Planes<T> planes() {
    return {values_.data(), stride_, order_.stored_channels(), height_, width_, order_.step};
  }
  cuda::Planes<const T> const_planes() {
    return {values_.data(), stride_, order_.stored_channels(), height_, width_, order_.step};
  }
  const ChannelOrder& order() const { return order_; }
  // The i-th in memory.
  T& value(int n, int i) { return values_[static_cast<size_t>(n * stride_ + i)]; }
  // Where the channel's pixel lies among them.
  int at(int c, int pixel) const {
    const int stored = order_.stored_channel(c);
    return (stored / order_.step * height_ * width_ + pixel) * order_.step + stored % order_.step;
  }

  // Exact.
  ExpectedImage image(int n) const {
    ExpectedImage image(order_.channels(), height_, width_);
    for (int c = 0; c < image.channels; ++c) {
      for (int i = 0; i < height_ * width_; ++i) {
        const T value = values_[static_cast<size_t>(n * stride_ + at(c, i))];
        image.values[static_cast<size_t>(c * height_ * width_ + i)] = {Storage<T>::get(value), 0};
      }
    }
    return image;
  }

  // Whether image n is what was expected, all else in it zeros, and the gap behind it untouched.
  ::testing::AssertionResult holds(int n, const ExpectedImage& expected) const {
    std::vector<Expected> wanted(static_cast<size_t>(stride_ - gap_));
    const ExpectedImage rounded = stored<T>(expected);
    for (int c = 0; c < order_.channels(); ++c) {
      for (int i = 0; i < height_ * width_; ++i) {
        wanted[static_cast<size_t>(at(c, i))] = rounded.values[static_cast<size_t>(c * height_ * width_ + i)];
      }
    }
    if (n + 1 < images_)
      wanted.insert(wanted.end(), static_cast<size_t>(gap_), {Storage<T>::rounded(kCanary), 0});
    std::vector<float> got;
    for (size_t i = 0; i < wanted.size(); ++i)
      got.push_back(Storage<T>::get(values_[static_cast<size_t>(n * stride_) + i]));
    return all_within(got.data(), wanted);
  }

 private:
  int images_;
  ChannelOrder order_;
  int height_, width_, gap_, stride_;
  Guarded<T> values_;
};

}  // namespace squish::testing
