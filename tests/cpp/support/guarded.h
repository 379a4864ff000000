// Buffers whose neighbourhood is forbidden: a kernel that reads or writes beyond them dies on the spot.
#pragma once

#include <cstddef>

namespace squish::testing {

// Which end of a buffer touches a forbidden page. A test runs with each.
enum class Edge { kFront, kBack };
inline constexpr Edge kEdges[] = {Edge::kFront, Edge::kBack};

// Bytes between two pages that may not be touched, zeroed.
class GuardedBytes {
 public:
  GuardedBytes(size_t size, Edge edge);
  ~GuardedBytes();
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  void* data() { return data_; }
  const void* data() const { return data_; }

 private:
  void* mapping_;
  size_t mapped_;
  void* data_;
};

template <typename T>
class Guarded {
 public:
  Guarded(size_t size, Edge edge, T fill) : bytes_(size * sizeof(T), edge), size_(size) {
    for (size_t k = 0; k < size; ++k) data()[k] = fill;
  }

  T* data() { return static_cast<T*>(bytes_.data()); }
  T& operator[](size_t k) { return data()[k]; }
  const T& operator[](size_t k) const { return static_cast<const T*>(bytes_.data())[k]; }
  size_t size() const { return size_; }

 private:
  GuardedBytes bytes_;
  size_t size_;
};

}  // namespace squish::testing
