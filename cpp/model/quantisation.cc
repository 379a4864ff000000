#include "model/quantisation.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "format/text.h"
#include "format/weights.h"

namespace squish {
namespace {

constexpr int64_t kMaxSum = INT32_MAX;
constexpr double kMaxResult = 1 << 30;

bool is_fire(const LayerDescription& layer) { return layer.kind == LayerKind::kFire; }

std::string conv_place(int k, const LayerDescription& layer, size_t c) {
  static constexpr const char* kNames[] = {"squeeze", "expand1x1", "expand3x3"};
  return layer_place(k, layer) + ": " + (is_fire(layer) ? std::string(kNames[c]) + ": " : "");
}

std::string text_of(const Quantisation& q) { return concat("scale ", q.scale, " and zero ", q.zero); }

// The first activation of a chain of max pools, which all hold what it holds.
std::vector<int> before_pools(const Graph& graph) {
  std::vector<int> first{-1};
  for (int k = 0; k < graph.size(); ++k) {
    const LayerDescription& layer = graph.layers()[static_cast<size_t>(k)];
    first.push_back(layer.kind == LayerKind::kMaxPool ? first[static_cast<size_t>(layer.inputs[0] + 1)] : k);
  }
  return first;
}

// Finds what holds each activation, and the first rule of layout.h that the net breaks.
class Examination {
 public:
  explicit Examination(const Graph& graph) : graph_(graph), first_(before_pools(graph)) {
    quantisations_.outputs.resize(first_.size());
    const auto& layers = graph.layers();
    const auto has_convs = [](const LayerDescription& layer) { return !layer.convs.empty(); };
    if (std::none_of(layers.begin(), layers.end(), has_convs)) why_ = "it has no convolutions";
    for (int k = 0; k < graph.size() && why_.empty(); ++k) read_activations(k);
    for (size_t k = 0; k < first_.size(); ++k) quantisations_.outputs[k] = held(static_cast<int>(k) - 1);
    for (int k = 0; k < graph.size() && why_.empty(); ++k) check_sums(k);
  }

  const std::string& why() const { return why_; }
  Quantisations quantisations() && { return std::move(quantisations_); }

 private:
  const LayerDescription& layer(int k) const { return graph_.layers()[static_cast<size_t>(k)]; }
  Quantisation& held(int k) {
    return quantisations_.outputs[static_cast<size_t>(first_[static_cast<size_t>(k + 1)] + 1)];
  }

  void read_activations(int k) {
    Quantisation squeezed;
    for (size_t c = 0; c < layer(k).convs.size() && why_.empty(); ++c) {
      const ConvDescription& conv = layer(k).convs[c];
      if (conv.out_channels == 0) continue;
      const std::string place = conv_place(k, layer(k), c);
      if (!has_scale(conv.type)) {
        why_ = place + "its weights are no integers";
      } else if (!conv.activation.is_bytes()) {
        why_ = place + "it has no activation scale";
      } else {
        agree(c == kSqueeze ? held(layer(k).inputs[0]) : squeezed, conv.activation, place);
      }
    }
  }

  void agree(Quantisation& held, const Quantisation& wanted, const std::string& place) {
    if (held.is_bytes() && held != wanted) {
      why_ = place + "it reads bytes of " + text_of(wanted) + ", an earlier reader those of " + text_of(held);
    }
    held = wanted;
  }

  void check_sums(int k) {
    for (size_t c = 0; c < layer(k).convs.size() && why_.empty(); ++c) {
      const ConvDescription& conv = layer(k).convs[c];
      if (conv.out_channels == 0) continue;
      const bool squeezes = is_fire(layer(k)) && c == kSqueeze;
      const Quantisation& out = squeezes ? squeeze_quantisation(layer(k)) : quantisations_.output_of(k);
      if (sums_fit(conv, out)) continue;
      why_ = conv_place(k, layer(k), c) + "its sums may be too large for 32 bits";
    }
  }

  static bool sums_fit(const ConvDescription& conv, const Quantisation& out) {
    std::vector<int64_t> magnitude(static_cast<size_t>(conv.out_channels));
    for_each_integer_weight(
        conv, [&](const IntegerWeight& w) { magnitude[static_cast<size_t>(w.o)] += std::abs(w.value); });
    const std::vector<float> scale = decode_scale(conv), bias = decode_bias(conv);
    for (size_t o = 0; o < magnitude.size(); ++o) {
      const int64_t largest = magnitude[o] * UINT8_MAX;
      if (largest > kMaxSum) return false;
      if (!out.is_bytes()) continue;
      const double result = static_cast<double>(largest) * scale[o] * conv.activation.scale / out.scale +
                            std::abs(bias[o] / double{out.scale}) + UINT8_MAX;
      if (!(result < kMaxResult)) return false;
    }
    return true;
  }

  const Graph& graph_;
  std::vector<int> first_;  // as outputs
  Quantisations quantisations_;
  std::string why_;
};

}  // namespace

std::string why_not_in_integers(const Graph& graph) { return Examination(graph).why(); }

Quantisations quantisations_of(const Graph& graph) { return Examination(graph).quantisations(); }

const Quantisation& squeeze_quantisation(const LayerDescription& fire) {
  const ConvDescription& expand1x1 = fire.convs[kExpand1x1];
  return (expand1x1.out_channels > 0 ? expand1x1 : fire.convs[kExpand3x3]).activation;
}

}  // namespace squish
