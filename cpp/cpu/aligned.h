// A fixed array on a cache-line boundary. Used for packed weights and arenas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace squish {

// `count` values, zeroed, at a multiple of 64 bytes: one cache line, one AVX-512 register.
template <typename T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(size_t count) : size_(count) {
    if (count > SIZE_MAX / sizeof(T)) throw std::bad_alloc();
    data_.reset(static_cast<T*>(::operator new(count * sizeof(T), kAlignment)));
    std::uninitialized_fill_n(data_.get(), count, T{});
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<T[], Free> data_;
  size_t size_ = 0;
};

}  // namespace squish
