#include "bindings/net_writer.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "squish/error.h"

namespace squish::bindings {
namespace {

ConvDescription absent_conv(const ConvSource& source) {
  ConvDescription conv;
  conv.in_channels = source.in_channels;
  conv.window = source.window;
  conv.relu = source.relu;
  return conv;
}

// False with errno set where any step fails: a full disk may show only when the file is closed.
bool write_file(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return false;
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  return std::fclose(file) == 0 && written;
}

}  // namespace

int NetWriter::append(LayerDescription layer, const std::vector<ConvSource>& sources) {
  for (const ConvSource& source : sources) layer.convs.push_back(encode_conv(layer.name, source));
  net_.layers.push_back(std::move(layer));
  return static_cast<int>(net_.layers.size()) - 1;
}

ConvDescription NetWriter::encode_conv(const std::string& layer, const ConvSource& source) {
  if (source.out_channels == 0) return absent_conv(source);
  try {
    EncodedConv encoded = encode(source);
    payloads_.push_back(std::move(encoded.payload));  // a vector that moves keeps its bytes where they are
    return encoded.description;
  } catch (const InvalidArgument& error) {
    throw InvalidArgument("layer '" + layer + "': " + error.what());
  }
}

void replace_file(const std::string& path, const std::vector<uint8_t>& bytes) {
  const std::string beside = path + "." + std::to_string(getpid()) + ".tmp";
  if (write_file(beside, bytes) && std::rename(beside.c_str(), path.c_str()) == 0) return;
  const std::string reason = std::strerror(errno);
  std::remove(beside.c_str());
  throw IoError("cannot write '" + path + "': " + reason);
}

}  // namespace squish::bindings
