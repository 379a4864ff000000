#include "reference/run.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "reference/ops.h"

namespace squish::reference {
namespace {

Activation run_layer(const LayerDescription& layer, const Activation& in, const Activation& second,
                     bool winograd) {
  switch (layer.kind) {
    case LayerKind::kConv:
      return conv(in, layer.convs[0], winograd && layer.inputs[0] >= 0);
    case LayerKind::kFire: {
      const Activation squeezed = conv(in, layer.convs[kSqueeze], false);
      return concat_channels(conv(squeezed, layer.convs[kExpand1x1], false),
                             conv(squeezed, layer.convs[kExpand3x3], winograd));
    }
    case LayerKind::kMaxPool:
      return max_pool(in, layer.window, layer.ceil_mode);
    case LayerKind::kAdd:
      return add(in, second, layer.relu);
    case LayerKind::kGlobalAveragePool:
      break;
  }
  return global_average_pool(in);
}

}  // namespace

Activation run(const Graph& graph, const Activation& image, bool winograd) {
  graph.shapes(image.shape.height, image.shape.width);  // throws where the size does not fit
  std::vector<Activation> outputs;
  auto output_of = [&](int k) -> const Activation& {
    return k < 0 ? image : outputs[static_cast<size_t>(k)];
  };
  for (const LayerDescription& layer : graph.layers()) {
    outputs.push_back(
        run_layer(layer, output_of(layer.inputs.front()), output_of(layer.inputs.back()), winograd));
  }
  return std::move(outputs.back());
}

Activation read_image(const InputDescription& input, ImageSource source, int height, int width,
                      bool track_variance) {
  Activation image = make_activation({input.channels, height, width}, track_variance);
  for (int c = 0; c < input.channels; ++c) {
    const double mean = input.mean[static_cast<size_t>(c)], std = input.std[static_cast<size_t>(c)];
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const size_t at = image.at(c, y, x);
        if (!source.is_uint8) {
          image.value[at] = static_cast<const float*>(source.data)[at];
          continue;
        }
        const size_t pixel = (static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x));
        const auto* bytes = static_cast<const uint8_t*>(source.data);
        const double scaled =
            bytes[pixel * static_cast<size_t>(input.channels) + static_cast<size_t>(c)] / 255.0;
        image.value[at] = (scaled - mean) / std;
        if (track_variance) {
          // A few roundings of numbers no larger than the pixel's and the mean's.
          const double rounding = 2 * kUnitRoundoff * (scaled + std::abs(mean)) / std;
          image.variance[at] = rounding * rounding;
        }
      }
    }
  }
  return image;
}

}  // namespace squish::reference
