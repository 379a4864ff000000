// The layers of a net, checked to fit together. Immutable; shared between threads.
// Called by Model, which owns it, and by the planner.
#pragma once

#include <vector>

#include "format/description.h"
#include "squish/model.h"

namespace squish {

// Index of a Fire's convolutions in LayerDescription::convs.
inline constexpr int kSqueeze = 0;
inline constexpr int kExpand1x1 = 1;
inline constexpr int kExpand3x3 = 2;

class Graph {
 public:
  // Throws FormatError where layers do not fit each other: the rules are those of format/layout.h, "which layers
  // fit together".
  explicit Graph(NetDescription net);

  const NetDescription& net() const { return net_; }
  const std::vector<LayerDescription>& layers() const { return net_.layers; }
  int size() const { return static_cast<int>(net_.layers.size()); }

  // Output channels of layer k; of the net's input for k = -1.
  int channels(int k) const { return k < 0 ? net_.input.channels : channels_[static_cast<size_t>(k)]; }
  // The layers that read layer k's output (k = -1: the net's input), in order.
  const std::vector<int>& consumers(int k) const { return consumers_[static_cast<size_t>(k + 1)]; }

  // The output shape of every layer for an image of height x width.
  // Throws InvalidArgument where a layer would be left without a pixel.
  std::vector<Shape> shapes(int height, int width) const;

 private:
  void check_layer(int k);
  void check_convs(int k) const;
  void check_fire(int k) const;
  void check_weights() const;

  NetDescription net_;
  std::vector<int> channels_;
  std::vector<std::vector<int>> consumers_;
};

// Output extent of a convolution: 0 or less where the padded input is smaller than the kernel.
int conv_extent(int input, int kernel, int stride, int pad_before, int pad_after);
// Output extent of a pool. With ceil_mode a window may hang over the end, but must begin before the padding
// at the end: PyTorch's rule.
int pool_extent(int input, int kernel, int stride, int pad_before, int pad_after, bool ceil_mode);

// "layer 3 'fire4'"
std::string layer_place(int k, const LayerDescription& layer);

}  // namespace squish
