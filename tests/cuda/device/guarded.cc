// GuardedBytes that kernels of a real GPU reach; the linker takes it instead of tests/cpp/support/guarded.cc.
#include "support/guarded.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cuda/runtime_check.h"

namespace squish::testing {
namespace {

// A GPU has no forbidden pages. At the edge the allocation ends, which compute-sanitizer sees; at the other end lie
// bytes that must stay as they are.
constexpr uint8_t kUntouched = 0xC5;
constexpr size_t kZone = 256;  // and the alignment of the data

}  // namespace

GuardedBytes::GuardedBytes(size_t size, Edge edge) : mapping_(nullptr), mapped_(size + kZone) {
  cuda::check(cudaMallocManaged(&mapping_, mapped_), "cudaMallocManaged");
  std::memset(mapping_, kUntouched, mapped_);
  data_ = edge == Edge::kFront ? mapping_ : static_cast<uint8_t*>(mapping_) + kZone;
  std::memset(data_, 0, size);
}

GuardedBytes::~GuardedBytes() {
  // After an error that the device does not recover from, the memory is out of reach.
  if (cudaDeviceSynchronize() != cudaSuccess) return;
  const auto* const first = static_cast<const uint8_t*>(mapping_);
  const uint8_t* const zone = data_ == mapping_ ? first + mapped_ - kZone : first;
  EXPECT_TRUE(std::all_of(zone, zone + kZone, [](uint8_t byte) { return byte == kUntouched; }))
      << "a kernel wrote beyond its array";
  cudaFree(mapping_);
}

}  // namespace squish::testing
