#include "support/guarded.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

namespace squish::testing {

GuardedBytes::GuardedBytes(size_t size, Edge edge) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t inner = (size + page - 1) / page * page;
  mapped_ = inner + 2 * page;
  mapping_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping_ == MAP_FAILED) throw std::bad_alloc();
  auto* first = static_cast<uint8_t*>(mapping_) + page;
  if (inner > 0 && mprotect(first, inner, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  data_ = edge == Edge::kFront ? first : first + inner - size;
}

GuardedBytes::~GuardedBytes() { munmap(mapping_, mapped_); }

}  // namespace squish::testing
