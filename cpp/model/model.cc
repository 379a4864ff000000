#include "squish/model.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "format/parse.h"
#include "model/graph.h"
#include "squish/error.h"

namespace squish {
namespace {

using FilePtr = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

[[noreturn]] void throw_io(const std::string& path, const char* what) {
  throw IoError("cannot " + std::string(what) + " '" + path + "': " + std::strerror(errno));
}

// Reads in growing pieces instead of asking for the size: pipes have none, and a file may change under us.
std::vector<uint8_t> read_file(const std::string& path) {
  errno = 0;
  FilePtr file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw_io(path, "open");
  std::vector<uint8_t> bytes;
  for (size_t piece = 1 << 16;; piece *= 2) {
    const size_t had = bytes.size();
    bytes.resize(had + piece);
    const size_t got = std::fread(bytes.data() + had, 1, piece, file.get());
    bytes.resize(had + got);
    if (std::ferror(file.get())) throw_io(path, "read");
    if (got < piece) return bytes;
  }
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
const NetDescription& Model::description() const { return graph().net(); }
const Graph& Model::graph() const { return impl_->graph; }

}  // namespace squish
