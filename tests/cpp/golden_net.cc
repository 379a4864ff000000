#include "golden_net.h"

#include <cmath>

#include "format/cluster.h"

namespace squish::testing {
namespace {

constexpr double kDensity = 0.4;

// Knuth's MMIX generator: the same numbers on every machine.
class Random {
 public:
  uint32_t below(uint32_t limit) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>((state_ >> 33) % limit);
  }

 private:
  uint64_t state_ = 2026;
};

WeightEncoding encoding_of(EncodingChoice choice) {
  switch (choice) {
    case EncodingChoice::kCluster16x1:
      return WeightEncoding::kCluster16x1;
    case EncodingChoice::kCluster16x4:
      return WeightEncoding::kCluster16x4;
    case EncodingChoice::kSynapse:
      return WeightEncoding::kSynapse;
    default:
      return WeightEncoding::kDense;
  }
}

class Maker {
 public:
  ConvSource conv(int out, int in, Window window, EncodingChoice encoding, WeightType type) {
    ConvSource source;
    source.out_channels = out;
    source.in_channels = in;
    source.window = window;
    source.relu = true;
    source.encoding = encoding;
    source.type = type;
    source.compress = false;
    fill(source);
    return source;
  }

  void add(LayerKind kind, const char* name, std::vector<int> inputs, std::vector<ConvSource> convs = {}) {
    LayerSource source;
    source.layer.kind = kind;
    source.layer.name = name;
    source.layer.inputs = std::move(inputs);
    source.convs = std::move(convs);
    layers.push_back(std::move(source));
  }

  std::vector<LayerSource> layers;

 private:
  // From -n / (n + 1) to n / (n + 1).
  float value(int n) {
    const int value = static_cast<int>(random_.below(static_cast<uint32_t>(2 * n + 1))) - n;
    return static_cast<float>(value) / static_cast<float>(n + 1);
  }

  // Kills whole clusters of the encoding that the conv is to have.
  void fill(ConvSource& source) {
    ConvDescription shape;
    shape.out_channels = source.out_channels;
    shape.in_channels = source.in_channels;
    shape.window = source.window;
    shape.encoding = encoding_of(source.encoding);
    const int area = static_cast<int>(shape.kernel_area());
    const int n = source.type == WeightType::kI4 ? 7 : 127;
    source.weight.resize(static_cast<size_t>(shape.weight_count()));
    const auto at = [&](int o, int i, int position) -> float& {
      return source.weight[static_cast<size_t>((o * source.in_channels + i) * area + position)];
    };
    for_each_cluster(shape, [&](const Cluster& c) {
      const bool lives = random_.below(1000) < 1000 * kDensity;
      for (int o = c.o; o < c.o_end; ++o)
        for (int i = c.i; i < c.i_end; ++i) {
          if (lives) at(o, i, c.y * source.window.kernel_w + c.x) = value(n);
        }
    });
    for (int o = 0; o < source.out_channels; ++o) {
      at(o, 0, 0) = static_cast<float>(n) / static_cast<float>(n + 1);
      source.bias.push_back(value(127));
    }
  }

  Random random_;
};

Window square(int kernel, int stride, int pad) {
  return {kernel, kernel, stride, stride, pad, pad, pad, pad};
}

std::vector<uint8_t> file_of(const std::vector<LayerSource>& layers, const char* about) {
  NetDescription net;
  net.input = golden_input();
  net.labels = golden_labels();
  net.about = about;
  std::vector<EncodedConv> owners;  // of the bytes that the descriptions point at
  for (const LayerSource& source : layers) {
    net.layers.push_back(source.layer);
    for (const ConvSource& conv : source.convs) {
      owners.push_back(encode(conv));
      net.layers.back().convs.push_back(owners.back().description);
    }
  }
  return write(net);
}

}  // namespace

std::vector<LayerSource> golden_layers() {
  constexpr auto kDense = EncodingChoice::kDense, k16x1 = EncodingChoice::kCluster16x1,
                 k16x4 = EncodingChoice::kCluster16x4, kSynapse = EncodingChoice::kSynapse;
  constexpr auto kF32 = WeightType::kF32, kF16 = WeightType::kF16, kI8 = WeightType::kI8;
  const Window k1x1 = square(1, 1, 0), k3x3 = square(3, 1, 1);
  Maker net;
  net.add(LayerKind::kConv, "conv1", {-1}, {net.conv(17, 3, square(3, 2, 0), kDense, kF32)});
  net.add(LayerKind::kMaxPool, "pool1", {0});
  net.layers.back().layer.window = square(3, 2, 0);
  net.layers.back().layer.ceil_mode = true;
  net.add(LayerKind::kFire, "fire2", {1},
          {net.conv(5, 17, k1x1, kDense, kF16), net.conv(7, 5, k1x1, kDense, kI8),
           net.conv(18, 5, k3x3, k16x1, kF32)});
  net.add(LayerKind::kFire, "fire3", {2},
          {net.conv(6, 25, k1x1, k16x1, kF16), net.conv(8, 6, k1x1, k16x1, kI8),
           net.conv(17, 6, k3x3, k16x4, kF32)});
  net.add(LayerKind::kAdd, "bypass3", {2, 3});
  net.layers.back().layer.relu = true;
  net.add(LayerKind::kFire, "fire4", {4},
          {net.conv(5, 25, k1x1, k16x4, kF16), net.conv(9, 5, k1x1, k16x4, kI8),
           net.conv(3, 5, k3x3, kSynapse, kF32)});
  net.add(LayerKind::kFire, "fire5", {5},
          {net.conv(4, 12, k1x1, kSynapse, kF16), net.conv(16, 4, k1x1, kSynapse, kI8),
           net.conv(0, 4, k3x3, kDense, kF32)});
  net.add(LayerKind::kMaxPool, "pool5", {6});
  net.layers.back().layer.window = {3, 2, 2, 1, 1, 0, 2, 1};
  net.add(LayerKind::kFire, "fire6", {7},
          {net.conv(4, 16, k1x1, kSynapse, kF16), net.conv(0, 4, k1x1, kDense, kF32),
           net.conv(20, 4, k3x3, kDense, kI8)});
  net.add(LayerKind::kConv, "conv7", {8}, {net.conv(10, 20, k1x1, k16x1, kF32)});
  net.layers.back().convs[0].relu = false;
  net.layers.back().convs[0].activation.scale = 0.25f;
  net.add(LayerKind::kGlobalAveragePool, "pool7", {9});
  return net.layers;
}

InputDescription golden_input() {
  InputDescription input;
  input.channels = 3;
  input.height = 19;
  input.width = 23;
  input.resize = 27;
  input.interpolation = Interpolation::kBicubic;
  input.mean = {0.5f, 0.25f, 0.125f};
  input.std = {0.25f, 0.5f, 1.0f};
  return input;
}

std::vector<std::string> golden_labels() {
  return {"zero", "one", "two", "three", "four", "f\u00FCnf", "\u516D", "", "eight", "eight"};
}

std::vector<uint8_t> golden_file() {
  return file_of(golden_layers(), "One of everything. Made by tools/make_golden.");
}

std::vector<LayerSource> golden_int4_layers() {
  constexpr auto kDense = EncodingChoice::kDense, k16x1 = EncodingChoice::kCluster16x1,
                 k16x4 = EncodingChoice::kCluster16x4, kSynapse = EncodingChoice::kSynapse;
  constexpr auto kI4 = WeightType::kI4;
  const Window k1x1 = square(1, 1, 0);
  Maker net;
  net.add(LayerKind::kConv, "conv1", {-1}, {net.conv(65, 3, square(3, 2, 0), kDense, kI4)});
  net.add(LayerKind::kMaxPool, "pool1", {0});
  net.layers.back().layer.window = square(3, 2, 0);
  net.add(LayerKind::kFire, "fire2", {1},
          {net.conv(17, 65, k1x1, kSynapse, kI4), net.conv(37, 17, k1x1, k16x1, kI4),
           net.conv(83, 17, square(3, 1, 1), k16x4, kI4)});
  net.add(LayerKind::kConv, "conv3", {2}, {net.conv(10, 120, k1x1, kSynapse, kI4)});
  net.layers.back().convs[0].relu = false;
  net.add(LayerKind::kGlobalAveragePool, "pool3", {3});
  return net.layers;
}

std::vector<LayerSource> golden_compressed_layers() {
  std::vector<LayerSource> layers = golden_int4_layers();
  constexpr WeightType kTypes[] = {WeightType::kI4, WeightType::kI8, WeightType::kF16, WeightType::kI4,
                                   WeightType::kI8};
  size_t next = 0;
  for (LayerSource& layer : layers) {
    for (ConvSource& conv : layer.convs) {
      conv.compress = true;
      conv.type = kTypes[next++];
      // Most of a filter's weights are small: that is what there is to win.
      const int n = conv.type == WeightType::kI8 ? 127 : 7;
      for (float& weight : conv.weight) {
        const bool large = std::fabs(weight) > 0.8f;
        const float level = large ? std::copysign(static_cast<float>(n), weight)
                                  : std::round(weight * 0.3f * static_cast<float>(n));
        weight = level == 0 ? 0 : level / static_cast<float>(n + 1);
      }
    }
  }
  return layers;
}

std::vector<uint8_t> golden_compressed_file() {
  return file_of(golden_compressed_layers(), "Compressed int4 and int8. Made by tools/make_golden.");
}

std::vector<uint8_t> golden_int4_file() {
  return file_of(golden_int4_layers(), "All encodings in int4. Made by tools/make_golden.");
}

}  // namespace squish::testing
