// Collects layers and writes a .squish file: what _core.NetWriter is behind its Python types.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "format/write.h"

namespace squish::bindings {

class NetWriter {
 public:
  explicit NetWriter(InputDescription input) { net_.input = std::move(input); }

  // Appends a layer and returns its number. A layer with weights brings one source a convolution, encoded here;
  // a source without output channels is an expand that a Fire lacks.
  // Throws InvalidArgument, with the layer's name, on weights that cannot be encoded.
  int append(LayerDescription layer, const std::vector<ConvSource>& sources = {});

  void set_labels(std::vector<std::string> labels) { net_.labels = std::move(labels); }
  void set_about(std::string text) { net_.about = std::move(text); }

  std::vector<uint8_t> to_bytes() const { return write(net_); }

 private:
  ConvDescription encode_conv(const std::string& layer, const ConvSource& source);

  NetDescription net_;
  std::vector<EncodedConv> convs_;  // own the bytes of net_'s
};

}  // namespace squish::bindings
