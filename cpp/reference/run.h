// A whole net through the reference operations. Called by the reference backend and by tests.
#pragma once

#include "model/graph.h"
#include "reference/activation.h"

namespace squish::reference {

// The net's output for one image; the input's variance (if it tracks one) is that of its own error. winograd: the
// engine whose error is tracked may compute 3x3 convolutions in Winograd's tiles, except of the net's input.
Activation run(const Graph& graph, const Activation& image, bool winograd);

// One image of a batch as an activation; uint8 pixels are normalised as the engine does.
struct ImageSource {
  const void* data;
  bool is_uint8;  // [H][W][C], else float [C][H][W]
};
Activation read_image(const InputDescription& input, ImageSource source, int height, int width,
                      bool track_variance);

}  // namespace squish::reference
