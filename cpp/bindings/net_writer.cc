#include "bindings/net_writer.h"

#include "squish/error.h"

namespace squish::bindings {

int NetWriter::append(LayerDescription layer, const std::vector<ConvSource>& sources) {
  for (const ConvSource& source : sources) layer.convs.push_back(encode_conv(layer.name, source));
  net_.layers.push_back(std::move(layer));
  return static_cast<int>(net_.layers.size()) - 1;
}

ConvDescription NetWriter::encode_conv(const std::string& layer, const ConvSource& source) {
  try {
    convs_.push_back(encode(source));  // a vector that moves keeps its bytes where they are
    return convs_.back().description;
  } catch (const InvalidArgument& error) {
    throw InvalidArgument("layer '" + layer + "': " + error.what());
  }
}

}  // namespace squish::bindings
