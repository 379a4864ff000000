// Each float operation rounds by itself: the whole build contracts none (cmake/SquishFlags.cmake).
#include "reference/integers.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "format/weights.h"
#include "memory_size.h"
#include "model/quantisation.h"

namespace squish::reference {
namespace {

uint8_t to_byte(float value, int low) {
  if (std::isnan(value)) return 0;
  return static_cast<uint8_t>(std::clamp(std::nearbyint(value), static_cast<float>(low), 255.0f));
}

// Of the type that `quantisation` asks for; values as they come.
IntegerActivation hold(Shape shape, const Quantisation& quantisation, std::vector<float> values) {
  IntegerActivation held{shape, quantisation, {}, {}};
  if (!quantisation.is_bytes()) {
    held.values = std::move(values);
    return held;
  }
  const auto inverse = static_cast<float>(1 / double{quantisation.scale});
  for (float value : values)
    held.bytes.push_back(to_byte(value * inverse + static_cast<float>(quantisation.zero), 0));
  return held;
}

// Sum over the window of weight value * (q - z).
int64_t dot(const IntegerActivation& in, const ConvDescription& conv, const int* weight, int top, int left) {
  const Window& w = conv.window;
  int64_t sum = 0;
  for (int i = 0; i < conv.in_channels; ++i) {
    for (int ky = 0; ky < w.kernel_h; ++ky) {
      for (int kx = 0; kx < w.kernel_w; ++kx, ++weight) {
        const int y = top + ky, x = left + kx;
        if (y < 0 || x < 0 || y >= in.shape.height || x >= in.shape.width) continue;
        sum += int64_t{*weight} * (in.bytes[in.at(i, y, x)] - conv.activation.zero);
      }
    }
  }
  return sum;
}

std::vector<int> integer_weights(const ConvDescription& conv) {
  std::vector<int> dense(memory_size<int>(conv.weight_count()));  // [O][I][H][W]
  for_each_integer_weight(conv, [&](const IntegerWeight& w) {
    const int64_t row = (int64_t{w.o} * conv.in_channels + w.i) * conv.window.kernel_h + w.y;
    dense[static_cast<size_t>(row * conv.window.kernel_w + w.x)] = w.value;
  });
  return dense;
}

IntegerActivation conv(const IntegerActivation& in, const ConvDescription& conv, const Quantisation& out) {
  const Window& w = conv.window;
  IntegerActivation result;
  result.shape = {conv.out_channels,
                  conv_extent(in.shape.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom),
                  conv_extent(in.shape.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right)};
  result.quantisation = out;
  const std::vector<int> weights = integer_weights(conv);
  const std::vector<float> scales = decode_scale(conv), biases = decode_bias(conv);
  const size_t per_output = static_cast<size_t>(conv.in_channels) * static_cast<size_t>(conv.kernel_area());
  for (int o = 0; o < conv.out_channels; ++o) {
    const double scale = scales[static_cast<size_t>(o)] * double{conv.activation.scale};
    const double bias = biases[static_cast<size_t>(o)];
    const auto factor = static_cast<float>(out.is_bytes() ? scale / out.scale : scale);
    const auto term = static_cast<float>(out.is_bytes() ? bias / out.scale + out.zero : bias);
    for (int y = 0; y < result.shape.height; ++y) {
      for (int x = 0; x < result.shape.width; ++x) {
        const int64_t sum = dot(in, conv, weights.data() + static_cast<size_t>(o) * per_output,
                                y * w.stride_h - w.pad_top, x * w.stride_w - w.pad_left);
        const float value = static_cast<float>(sum) * factor + term;
        if (out.is_bytes()) {
          result.bytes.push_back(to_byte(value, conv.relu ? out.zero : 0));
        } else {
          result.values.push_back(conv.relu ? std::max(value, 0.0f) : value);
        }
      }
    }
  }
  return result;
}

IntegerActivation concat_channels(IntegerActivation a, const IntegerActivation& b) {
  if (a.shape.channels == 0) return b;
  if (b.shape.channels == 0) return a;
  a.shape.channels += b.shape.channels;
  a.bytes.insert(a.bytes.end(), b.bytes.begin(), b.bytes.end());
  a.values.insert(a.values.end(), b.values.begin(), b.values.end());
  return a;
}

template <typename T>
void max_pool(const IntegerActivation& in, const std::vector<T>& from, const Window& w,
              IntegerActivation& out, std::vector<T>& to) {
  for (int c = 0; c < out.shape.channels; ++c) {
    for (int y = 0; y < out.shape.height; ++y) {
      for (int x = 0; x < out.shape.width; ++x) {
        const int top = y * w.stride_h - w.pad_top, left = x * w.stride_w - w.pad_left;
        const int first_row = std::max(top, 0), first_column = std::max(left, 0);
        T largest = from[in.at(c, first_row, first_column)];
        for (int row = first_row; row < std::min(top + w.kernel_h, in.shape.height); ++row) {
          for (int column = first_column; column < std::min(left + w.kernel_w, in.shape.width); ++column)
            largest = std::max(largest, from[in.at(c, row, column)]);
        }
        to.push_back(largest);
      }
    }
  }
}

IntegerActivation max_pool(const IntegerActivation& in, const Window& w, Shape shape) {
  IntegerActivation out{shape, in.quantisation, {}, {}};
  if (in.quantisation.is_bytes()) {
    max_pool(in, in.bytes, w, out, out.bytes);
  } else {
    max_pool(in, in.values, w, out, out.values);
  }
  return out;
}

IntegerActivation add(const IntegerActivation& a, const IntegerActivation& b, bool relu,
                      const Quantisation& out) {
  std::vector<float> sums;
  for (size_t k = 0; k < static_cast<size_t>(a.shape.elements()); ++k) {
    const float sum = a.value(k) + b.value(k);
    sums.push_back(relu ? std::max(sum, 0.0f) : sum);
  }
  return hold(a.shape, out, std::move(sums));
}

IntegerActivation global_average_pool(const IntegerActivation& in, const Quantisation& out) {
  const int height = in.shape.height, width = in.shape.width;
  const float share = 1.0f / (static_cast<float>(height) * static_cast<float>(width));
  std::vector<float> means;
  for (int c = 0; c < in.shape.channels; ++c) {
    float sum = 0;
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) sum += in.value(in.at(c, y, x));
    means.push_back(sum * share);
  }
  return hold({in.shape.channels, 1, 1}, out, std::move(means));
}

IntegerActivation run_layer(const LayerDescription& layer, const IntegerActivation& in,
                            const IntegerActivation& second, Shape shape, const Quantisation& out) {
  switch (layer.kind) {
    case LayerKind::kConv:
      return conv(in, layer.convs[0], out);
    case LayerKind::kFire: {
      const IntegerActivation squeezed = conv(in, layer.convs[kSqueeze], squeeze_quantisation(layer));
      return concat_channels(conv(squeezed, layer.convs[kExpand1x1], out),
                             conv(squeezed, layer.convs[kExpand3x3], out));
    }
    case LayerKind::kMaxPool:
      return max_pool(in, layer.window, shape);
    case LayerKind::kAdd:
      return add(in, second, layer.relu, out);
    case LayerKind::kGlobalAveragePool:
      break;
  }
  return global_average_pool(in, out);
}

}  // namespace

float IntegerActivation::value(size_t at) const {
  if (!quantisation.is_bytes()) return values[at];
  return quantisation.scale * static_cast<float>(bytes[at] - quantisation.zero);
}

std::vector<float> normalised(const InputDescription& input, const uint8_t* pixels, int height, int width) {
  std::vector<float> values;
  for (size_t c = 0; c < input.mean.size(); ++c) {
    const auto scale = static_cast<float>(1 / (255.0 * input.std[c]));
    const auto shift = static_cast<float>(-double{input.mean[c]} / input.std[c]);
    for (int64_t k = 0; k < int64_t{height} * width; ++k) {
      const uint8_t pixel = pixels[static_cast<size_t>(k) * input.mean.size() + c];
      values.push_back(static_cast<float>(pixel) * scale + shift);
    }
  }
  return values;
}

std::vector<float> run_in_integers(const Graph& graph, const float* image, int height, int width) {
  const std::vector<Shape> shapes = graph.shapes(height, width);
  const Quantisations held = quantisations_of(graph);
  const Shape shape{graph.channels(-1), height, width};
  std::vector<IntegerActivation> outputs{
      hold(shape, held.output_of(-1), std::vector<float>(image, image + shape.elements()))};
  for (int k = 0; k < graph.size(); ++k) {
    const LayerDescription& layer = graph.layers()[static_cast<size_t>(k)];
    const auto output_of = [&](int input) -> const IntegerActivation& {
      return outputs[static_cast<size_t>(input + 1)];
    };
    outputs.push_back(run_layer(layer, output_of(layer.inputs.front()), output_of(layer.inputs.back()),
                                shapes[static_cast<size_t>(k)], held.output_of(k)));
  }
  const IntegerActivation& last = outputs.back();
  std::vector<float> output(memory_size<float>(last.shape.elements()));
  for (size_t k = 0; k < output.size(); ++k) output[k] = last.value(k);
  return output;
}

}  // namespace squish::reference
