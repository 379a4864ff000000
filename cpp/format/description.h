// What a .squish file says, checked: the output of parse() and the input of write(). Knows the file, not the
// engine: whether the layers fit together is for cpp/model to say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "format/layout.h"

namespace squish {

// Bytes that somebody else owns.
struct ByteSpan {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

// A sliding window: kernel, stride and padding in pixels.
struct Window {
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;

  bool is_3x3(int stride) const {
    return kernel_h == 3 && kernel_w == 3 && stride_h == stride && stride_w == stride;
  }
};

// How an activation is held in bytes: q stands for scale * (q - zero). Scale 0: it is not.
struct Quantisation {
  float scale = 0;
  int zero = 0;

  bool is_bytes() const { return scale != 0; }
  bool operator==(const Quantisation& o) const { return scale == o.scale && zero == o.zero; }
  bool operator!=(const Quantisation& o) const { return !(*this == o); }
};

struct ConvDescription {
  int out_channels = 0, in_channels = 0;
  Window window;
  bool relu = false;
  WeightEncoding encoding = WeightEncoding::kDense;
  WeightType type = WeightType::kF32;
  Quantisation activation;  // of its input
  // The parts of the payload, views into the file's bytes, not necessarily aligned in memory: read with memcpy.
  ByteSpan bias, scale, occupancy, values;
  // Of a compressed payload: its bytes in the file, and the bytes that the parts above are views into.
  ByteSpan compressed;
  std::shared_ptr<const std::vector<uint8_t>> decompressed;

  int64_t kernel_area() const { return int64_t{window.kernel_h} * window.kernel_w; }
  int64_t weight_count() const { return int64_t{out_channels} * in_channels * kernel_area(); }  // as if dense
  // In the file, without padding.
  size_t payload_bytes() const {
    return is_compressed() ? compressed.size : bias.size + scale.size + occupancy.size + values.size;
  }
  bool is_compressed() const { return compressed.size != 0; }
};

struct LayerDescription {
  LayerKind kind = LayerKind::kConv;
  std::string name;
  std::vector<int> inputs;             // -1: the net's input; k: the output of layer k
  bool relu = false;                   // of an Add
  bool ceil_mode = false;              // of a MaxPool
  Window window;                       // of a MaxPool
  std::vector<ConvDescription> convs;  // Conv: 1. Fire: squeeze, expand1x1, expand3x3.
};

struct InputDescription {
  int channels = 3, height = 224, width = 224;
  int resize = 256;  // shorter side before the centre crop; 0: squash to height x width
  Interpolation interpolation = Interpolation::kBilinear;
  std::vector<float> mean, std;  // [channels], on the scale 0..1
};

struct NetDescription {
  InputDescription input;
  std::vector<LayerDescription> layers;
  std::vector<std::string> labels;  // empty, or one a class
  std::string about;
};

}  // namespace squish
