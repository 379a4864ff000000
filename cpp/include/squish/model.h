// A classifier read from a .squish file. Immutable after loading; share one between any number of sessions
// and threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace squish {

struct NetDescription;  // cpp/format/description.h
class Graph;            // cpp/model/graph.h

// Channels, height and width of one image's activation.
struct Shape {
  int channels = 0, height = 0, width = 0;
  bool operator==(const Shape& o) const {
    return channels == o.channels && height == o.height && width == o.width;
  }
  bool operator!=(const Shape& o) const { return !(*this == o); }
  int64_t elements() const { return int64_t{channels} * height * width; }
};

class Model {
 public:
  // Reads a .squish file. Throws IoError if it cannot be read, FormatError if it is not a valid net.
  static std::shared_ptr<const Model> load(const std::string& path);

  // The same from memory; the bytes are copied.
  static std::shared_ptr<const Model> from_bytes(const void* data, size_t size);

  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // The input size the net was made for. Sessions run any size the layers admit.
  Shape input_shape() const;
  // The output for an image of height x width. Throws InvalidArgument where the net does not admit that size.
  Shape output_shape(int height, int width) const;
  // The number of output channels: classes, for a classifier.
  int classes() const;
  // One name a class, or empty.
  const std::vector<std::string>& labels() const;
  size_t file_bytes() const;
  // What it holds in memory: the file, and what was decompressed of it.
  size_t memory_bytes() const;
  // Empty where the file is made for integer arithmetic (SessionOptions::storage "i8"), else the first reason why it is not:
  // "layer 3 'fire4': squeeze: it has no activation scale".
  std::string why_not_in_integers() const;

  // For the library itself and its bindings; the types are not part of the public interface.
  const NetDescription& description() const;
  const Graph& graph() const;

 private:
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace squish
