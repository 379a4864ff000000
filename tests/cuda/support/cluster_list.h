// Random clusters as kernels are given them, and what they compute by plain loops in double precision. Knows nothing of
// the packer.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "cuda/tasks.h"
#include "format/description.h"
#include "support/expected.h"
#include "support/guarded.h"
#include "support/random.h"
#include "support/storage.h"

namespace squish::testing {

// Zero beyond its edges.
struct ExpectedImage {
  int channels, height, width;
  std::vector<Expected> values;

  ExpectedImage(int c, int h, int w)
      : channels(c), height(h), width(w), values(static_cast<size_t>(c * h * w)) {}
  Expected& at(int c, int y, int x) { return values[static_cast<size_t>((c * height + y) * width + x)]; }
  Expected get(int c, int y, int x) const {
    if (y < 0 || x < 0 || y >= height || x >= width) return {};
    return values[static_cast<size_t>((c * height + y) * width + x)];
  }
};

template <typename T>
class ClusterList {
 public:
  ClusterList(Random& random, bool relu) : random_(random), relu_(relu) {}

  // Another convolution beside those that are there. weight_of(tap of a block): random ones where it is not given.
  void add_conv(int out_channels, int in_channels, const Window& w, double density,
                const std::function<float(int)>& weight_of = {}) {
    for (int first = 0; first < out_channels; first += cuda::kClusterChannels) {
      const auto first_tap = static_cast<int64_t>(where_.size());
      for (int c = 0; c < in_channels; ++c) {
        for (int y = 0; y < w.kernel_h; ++y) {
          for (int x = 0; x < w.kernel_w; ++x) {
            if (!random_.chance(density)) continue;
            const auto tap = static_cast<int>(static_cast<int64_t>(where_.size()) - first_tap);
            where_.push_back({c, y - w.pad_top, x - w.pad_left});
            for (int o = 0; o < cuda::kClusterChannels; ++o) {
              weights_.push_back(Storage<T>::rounded(weight_of ? weight_of(tap) : random_weight()));
            }
          }
        }
      }
      const int taps = static_cast<int>(static_cast<int64_t>(where_.size()) - first_tap);
      blocks_.push_back(
          {first_tap, taps, out_channels_ + first, std::min(cuda::kClusterChannels, out_channels - first)});
      for (int o = 0; o < cuda::kClusterChannels; ++o) bias_.push_back(random_.value());
    }
    out_channels_ += out_channels;
  }

  int out_channels() const { return out_channels_; }

  // Guarded arrays of it, for an input whose channels and rows lie so far apart. Valid as long as the list.
  cuda::Clusters<T> clusters(int plane, int row, Edge edge) {
    guarded_blocks_ = guarded(blocks_, edge);
    guarded_bias_ = guarded(bias_, edge);
    std::vector<T> weights;
    for (float weight : weights_) weights.push_back(Storage<T>::make(weight));
    guarded_weights_ = guarded(weights, edge);
    std::vector<cuda::Tap> taps;
    for (const Where& at : where_) {
      taps.push_back({at.channel * plane + at.dy * row + at.dx, static_cast<int16_t>(at.dy),
                      static_cast<int16_t>(at.dx)});
    }
    guarded_taps_ = guarded(taps, edge);
    return {guarded_blocks_->data(),
            guarded_taps_->data(),
            guarded_weights_->data(),
            guarded_bias_->data(),
            relu_ ? 0 : -std::numeric_limits<float>::infinity(),
            static_cast<int>(blocks_.size())};
  }

  ExpectedImage expected(const ExpectedImage& in, int height, int width, int stride_h, int stride_w) const {
    ExpectedImage out(out_channels_, height, width);
    for (size_t b = 0; b < blocks_.size(); ++b) {
      for (int o = 0; o < blocks_[b].channels; ++o) {
        for (int y = 0; y < height; ++y) {
          for (int x = 0; x < width; ++x) {
            out.at(blocks_[b].first_channel + o, y, x) = sum(in, b, o, y * stride_h, x * stride_w);
          }
        }
      }
    }
    return out;
  }

 private:
  struct Where {
    int channel, dy, dx;
  };

  float random_weight() { return random_.chance(0.2) ? 0 : random_.value(); }

  template <typename Value>
  static std::unique_ptr<Guarded<Value>> guarded(const std::vector<Value>& values, Edge edge) {
    auto copy = std::make_unique<Guarded<Value>>(values.size(), edge, Value{});
    for (size_t i = 0; i < values.size(); ++i) (*copy)[i] = values[i];
    return copy;
  }

  Expected sum(const ExpectedImage& in, size_t b, int o, int y, int x) const {
    BoundedSum sum;
    sum.add(bias_[b * cuda::kClusterChannels + static_cast<size_t>(o)]);
    // reach: how large a sum of kHalfTaps products can have become, each rounded as it is stored.
    double inherited = 0, reach = 0, lost = 0;
    for (int64_t k = blocks_[b].first_tap; k < blocks_[b].first_tap + blocks_[b].taps; ++k) {
      const Where& at = where_[static_cast<size_t>(k)];
      const double weight = weights_[static_cast<size_t>(k * cuda::kClusterChannels + o)];
      const Expected value = in.get(at.channel, y + at.dy, x + at.dx);
      sum.add(weight * value.wanted);
      inherited += std::abs(weight) * value.bound;
      if ((k - blocks_[b].first_tap) % cuda::kHalfTaps == 0) reach = 0;
      reach += std::abs(weight) * (std::abs(value.wanted) + value.bound);
      const double rounding = Storage<T>::kEps * reach + Storage<T>::kLeast;
      reach += rounding;
      lost += rounding;
    }
    Expected expected = sum.expected();
    expected.bound += 2 * inherited + lost;
    return relu_ ? at_least(0, expected) : expected;
  }

  Random& random_;
  bool relu_;
  int out_channels_ = 0;
  std::vector<cuda::OutputBlock> blocks_;
  std::vector<Where> where_;
  std::vector<float> weights_, bias_;
  std::unique_ptr<Guarded<cuda::OutputBlock>> guarded_blocks_;
  std::unique_ptr<Guarded<cuda::Tap>> guarded_taps_;
  std::unique_ptr<Guarded<T>> guarded_weights_;
  std::unique_ptr<Guarded<float>> guarded_bias_;
};

// The maxima of 3x3 windows with stride 2, those at the end clipped.
inline ExpectedImage pooled(const ExpectedImage& in, int height, int width) {
  ExpectedImage out(in.channels, height, width);
  for (int c = 0; c < in.channels; ++c) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        Expected best{-std::numeric_limits<double>::infinity(), 0};
        for (int dy = 0; dy < 3 && 2 * y + dy < in.height; ++dy) {
          for (int dx = 0; dx < 3 && 2 * x + dx < in.width; ++dx) {
            const Expected value = in.get(c, 2 * y + dy, 2 * x + dx);
            best = {std::max(best.wanted, value.wanted), std::max(best.bound, value.bound)};
          }
        }
        out.at(c, y, x) = best;
      }
    }
  }
  return out;
}

}  // namespace squish::testing
