// cuda/kernels/tensor_cores.h on the CPU. Lanes meet, and the one that comes last computes for all.
#pragma once

#include "emulator/emulator.h"

namespace squish::emulator {

// A lane's registers. Sum: float or int32_t.
template <typename Sum>
struct Fragments {
  Sum sums[4];
  uint32_t a[4], b[2];
};

// WarpFunctions, of Fragments<float>: sums in double, added and rounded once.
void multiply_f16(void* const lanes[]);
void multiply_tf32(void* const lanes[]);
// Of Fragments<int32_t>: products of 16 and of 32 bytes.
void multiply_16_bytes(void* const lanes[]);
void multiply_32_bytes(void* const lanes[]);

// Through copies on the lane's own stack: where a kernel's operands really are (shared memory, say) is read and written
// by the lane itself, where ThreadSanitizer sees it.
template <typename Sum, size_t kA, size_t kB>
void multiply(WarpFunction function, Sum (&sums)[4], const uint32_t (&a)[kA], const uint32_t (&b)[kB],
              Site site) {
  Fragments<Sum> lane{};
  std::memcpy(lane.sums, sums, sizeof sums);
  std::memcpy(lane.a, a, sizeof a);
  std::memcpy(lane.b, b, sizeof b);
  compute_in_warp(function, &lane, site);
  std::memcpy(sums, lane.sums, sizeof sums);
}

}  // namespace squish::emulator

namespace squish::cuda {

inline void mma_f16(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], SQUISH_SITE) {
  emulator::multiply(&emulator::multiply_f16, sums, a, b, {file, line});
}
inline void mma_tf32(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], SQUISH_SITE) {
  emulator::multiply(&emulator::multiply_tf32, sums, a, b, {file, line});
}

inline void mma_i8(int32_t (&sums)[4], const uint32_t (&a)[2], const uint32_t (&b)[1], SQUISH_SITE) {
  emulator::multiply(&emulator::multiply_16_bytes, sums, a, b, {file, line});
}
inline void mma_i8(int32_t (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], SQUISH_SITE) {
  emulator::multiply(&emulator::multiply_32_bytes, sums, a, b, {file, line});
}

inline float larger_float(float a, float b) { return b > a || std::isnan(b) ? b : a; }

inline uint32_t larger_halves(uint32_t a, uint32_t b) {
  uint32_t larger = 0;
  for (int shift : {0, 16}) {
    const __half x{static_cast<uint16_t>(a >> shift)}, y{static_cast<uint16_t>(b >> shift)};
    const float xf = __half2float(x), yf = __half2float(y);
    const bool takes_y = yf > xf || std::isnan(yf);
    larger |= uint32_t{takes_y ? y.bits : x.bits} << shift;
  }
  return larger;
}

inline void load_if(bool there, const void* at, uint32_t (&to)[2]) {
  to[0] = to[1] = 0;
  if (there) std::memcpy(to, at, sizeof to);
}

template <size_t kCount>
struct alignas(kCount * sizeof(uint32_t)) Words {
  uint32_t words[kCount];
};
template <size_t kCount>
void store_words(void* at, const uint32_t (&words)[kCount]) {
  Words<kCount> together;
  std::memcpy(&together, words, sizeof words);
  *static_cast<Words<kCount>*>(at) = together;  // where sanitizers see an address that is not aligned
}

}  // namespace squish::cuda
