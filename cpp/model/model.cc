#include "squish/model.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "format/container.h"
#include "format/parse.h"
#include "memory_size.h"
#include "model/graph.h"
#include "model/quantisation.h"
#include "squish/error.h"

namespace squish {
namespace {

constexpr size_t kFirstPiece = 1 << 16;  // then as much again as there is

using FilePtr = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

// Appends up to `piece` bytes; false where the file ends before.
bool append(std::FILE* file, const std::string& path, size_t piece, std::vector<uint8_t>& bytes) {
  const size_t had = bytes.size();
  bytes.resize(memory_size<uint8_t>(uint64_t{had} + piece));
  const size_t got = std::fread(bytes.data() + had, 1, piece, file);
  bytes.resize(had + got);
  if (std::ferror(file)) throw IoError("read", path, errno);
  return got == piece;
}

// Reads in growing pieces instead of asking for the size: pipes have none, and a file may change under us. Stops at
// the header of what is no net, and one byte behind the end that the header says, at which parse() sees that the file
// goes on. So a device without an end costs no memory.
std::vector<uint8_t> read_file(const std::string& path) {
  errno = 0;
  const FilePtr file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw IoError("open", path, errno);
  std::vector<uint8_t> bytes;
  if (!append(file.get(), path, kHeaderBytes, bytes)) return bytes;
  const uint64_t want = file_bytes_of({bytes.data(), bytes.size()});
  while (bytes.size() <= want) {
    const uint64_t left = want - bytes.size() + 1;
    const auto piece = static_cast<size_t>(std::min<uint64_t>(left, std::max(kFirstPiece, bytes.size())));
    if (!append(file.get(), path, piece, bytes)) break;
  }
  bytes.shrink_to_fit();  // small nets are smaller than a piece
  return bytes;
}

}  // namespace

struct Model::Impl {
  explicit Impl(std::vector<uint8_t> file)
      : bytes(std::move(file)), graph(parse({bytes.data(), bytes.size()})) {}
  std::vector<uint8_t> bytes;  // the graph's descriptions point into it
  Graph graph;
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;

std::shared_ptr<const Model> Model::load(const std::string& path) {
  try {
    return std::shared_ptr<const Model>(new Model(std::make_unique<Impl>(read_file(path))));
  } catch (const FormatError& error) {
    throw FormatError("'" + path + "': " + error.what());
  }
}

std::shared_ptr<const Model> Model::from_bytes(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  return std::shared_ptr<const Model>(
      new Model(std::make_unique<Impl>(std::vector<uint8_t>(bytes, bytes + size))));
}

Shape Model::input_shape() const {
  const InputDescription& input = description().input;
  return {input.channels, input.height, input.width};
}

Shape Model::output_shape(int height, int width) const { return graph().shapes(height, width).back(); }
int Model::classes() const { return graph().channels(graph().size() - 1); }
const std::vector<std::string>& Model::labels() const { return description().labels; }
size_t Model::file_bytes() const { return impl_->bytes.size(); }
size_t Model::memory_bytes() const {
  size_t bytes = impl_->bytes.size();
  for (const LayerDescription& layer : description().layers) {
    for (const ConvDescription& conv : layer.convs) {
      if (conv.decompressed != nullptr) bytes += conv.decompressed->size();
    }
  }
  return bytes;
}
std::string Model::why_not_in_integers() const { return squish::why_not_in_integers(graph()); }
const NetDescription& Model::description() const { return graph().net(); }
const Graph& Model::graph() const { return impl_->graph; }

}  // namespace squish
