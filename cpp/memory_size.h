// How much memory something needs, which may be more than pointers of 32 bits reach.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace squish {

// `count` values that are to be in memory. Throws std::bad_alloc where no memory holds as many.
template <typename T>
size_t memory_size(uint64_t count) {
  if (count > static_cast<uint64_t>(PTRDIFF_MAX) / sizeof(T)) throw std::bad_alloc();
  return static_cast<size_t>(count);
}
template <typename T>
size_t memory_size(int64_t count) {
  return memory_size<T>(static_cast<uint64_t>(count));
}

}  // namespace squish
