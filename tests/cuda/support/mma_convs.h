// Convolutions as kernels for tensor cores are given them, and what they compute by plain loops in double precision.
#pragma once

#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "cuda/pack_bundles.h"
#include "format/weights.h"
#include "model/graph.h"
#include "support/planes.h"

namespace squish::testing {

// The channels of a net's input in quads, or of activations, in the packer's terms.
inline Layout packed_layout(const ChannelOrder& order) {
  return {order.segments, 1, 1, {}, order.step == cuda::kQuad ? kPlaneBlock : kChannelBlock};
}

// Convolutions side by side of one input.
template <typename T>
class MmaConvs {
 public:
  MmaConvs(std::vector<const ConvDescription*> convs, const ChannelOrder& in, Edge edge)
      : convs_(std::move(convs)),
        in_(in),
        edge_(edge),
        packed_(cuda::pack_bundles(convs_, packed_layout(in))),
        bundles_(guarded(packed_.bundles)),
        bias_(guarded(packed_.bias)) {
    std::vector<T> weights;
    for (float weight : packed_.weights) weights.push_back(Storage<T>::make(weight));
    weights_ = guarded(weights);
    out_.step = kChannelBlock;
    for (const ConvDescription* conv : convs_) out_.segments.push_back(conv->out_channels);
  }

  const ChannelOrder& order() const { return out_; }
  const cuda::PackedBundles& packed() const { return packed_; }
  bool padded() const {
    for (const ConvDescription* conv : convs_) {
      const Window& w = conv->window;
      if (w.pad_top > 0 || w.pad_left > 0 || w.pad_bottom > 0 || w.pad_right > 0) return true;
    }
    return false;
  }

  // Guarded arrays of them, for an input of that size. Valid as long as this, and until it is asked again.
  cuda::Bundles<T> bundles(int height, int width) {
    taps_ = guarded(
        cuda::taps_of(packed_, {in_.step, int64_t{height} * width * in_.step, int64_t{width} * in_.step}));
    return {bundles_->data(),
            taps_->data(),
            weights_->data(),
            bias_->data(),
            packed_.relu ? 0 : -std::numeric_limits<float>::infinity(),
            static_cast<int>(packed_.bundles.size()),
            packed_.width};
  }

  ExpectedImage expected(const ExpectedImage& in) const {
    const Window& w = convs_[0]->window;
    ExpectedImage out(out_.channels(),
                      conv_extent(in.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom),
                      conv_extent(in.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right));
    size_t at = 0;
    for (const ConvDescription* conv : convs_) {
      const std::vector<float> weights = decode_dense(*conv), bias = decode_bias(*conv);
      const size_t of_filter = weights.size() / static_cast<size_t>(conv->out_channels);
      for (size_t o = 0; o < bias.size(); ++o) {
        for (int y = 0; y < out.height; ++y) {
          for (int x = 0; x < out.width; ++x) {
            out.values[at++] = sum(in, *conv, weights.data() + o * of_filter, bias[o], y, x);
          }
        }
      }
    }
    return out;
  }

 private:
  // What BoundedSum grants a sum of n products and a bias are 2 (n + 1) u of its terms. Here each product may come to the
  // sum alone: hardware then cuts off what is added and what it is added to, at 2 u each. Of floats that is done three times,
  // and the products are off by 8 u (check_net_on_cuda.cc). Slices add once more.
  static constexpr double kBounds = sizeof(T) == sizeof(float) ? 7 : 3;  // 13 n + 9 and 5 n + 1

  template <typename Value>
  std::unique_ptr<Guarded<Value>> guarded(const std::vector<Value>& values) const {
    auto copy = std::make_unique<Guarded<Value>>(values.size(), edge_, Value{});
    for (size_t i = 0; i < values.size(); ++i) (*copy)[i] = values[i];
    return copy;
  }

  // weight: [in channels][rows][columns]
  static Expected sum(const ExpectedImage& in, const ConvDescription& conv, const float* weight, float bias,
                      int y, int x) {
    const Window& w = conv.window;
    BoundedSum sum;
    sum.add(bias);
    double inherited = 0;
    for (int i = 0; i < conv.in_channels; ++i) {
      for (int ky = 0; ky < w.kernel_h; ++ky) {
        for (int kx = 0; kx < w.kernel_w; ++kx, ++weight) {
          if (*weight == 0) continue;
          const double factor = Storage<T>::rounded(*weight);
          const Expected value = in.get(i, y * w.stride_h - w.pad_top + ky, x * w.stride_w - w.pad_left + kx);
          sum.add(factor * value.wanted);
          inherited += std::abs(factor) * value.bound;
        }
      }
    }
    Expected expected = sum.expected();
    expected.bound = kBounds * expected.bound + 2 * inherited;
    return conv.relu ? at_least(0, expected) : expected;
  }

  std::vector<const ConvDescription*> convs_;
  ChannelOrder in_, out_;
  Edge edge_;
  cuda::PackedBundles packed_;
  std::unique_ptr<Guarded<cuda::Bundle>> bundles_;
  std::unique_ptr<Guarded<float>> bias_;
  std::unique_ptr<Guarded<cuda::Tap>> taps_;
  std::unique_ptr<Guarded<T>> weights_;
};

}  // namespace squish::testing
