// Little nets for tests, built layer by layer and read back through the file format.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "format/write.h"
#include "squish/model.h"
#include "support/random.h"

namespace squish::testing {

// A window of kernel x kernel.
inline Window square(int kernel, int stride = 1, int pad = 0) {
  return {kernel, kernel, stride, stride, pad, pad, pad, pad};
}

struct ConvStyle {
  bool relu = true;
  double density = 1;
  bool clusters_die = false;  // 16 output channels at once, not single weights
  WeightType type = WeightType::kF32;
  EncodingChoice encoding = EncodingChoice::kSmallest;
};

struct FireWidths {
  int squeeze, expand1x1, expand3x3;
};

// Each method adds a layer that reads layer `input` (-1: the net's input) and returns its number.
class NetBuilder {
 public:
  NetBuilder(uint32_t seed, int input_channels);

  int conv(int input, int out_channels, const Window& window, const ConvStyle& style = {});
  int fire(int input, const FireWidths& widths, const ConvStyle& style = {});
  int max_pool(int input, const Window& window, bool ceil_mode = false);
  int add(int a, int b, bool relu = false);
  int global_average_pool(int input);

  int last() const { return static_cast<int>(net_.layers.size()) - 1; }
  int channels(int layer) const;

  // Makes the net, whose weights are integers, one for integer arithmetic: activations with random scales that hold most of
  // their values, and random zeros.
  void hold_in_bytes();

  // Points into the builder's convs. To be changed by tests of what is wrong.
  NetDescription& net() { return net_; }
  std::shared_ptr<const Model> model() const;

 private:
  LayerDescription& add_layer(LayerKind kind, std::vector<int> inputs);
  ConvDescription random_conv(int out, int in, const Window& window, const ConvStyle& style);

  Random random_;
  NetDescription net_;
  std::vector<int> channels_;
  std::vector<EncodedConv> convs_;  // own the bytes of net_'s
};

}  // namespace squish::testing
