// A loop that is unrolled whatever the compiler thinks of it. Accumulators that are indexed by anything but a
// constant live in memory: the kernels then run three times slower.
#pragma once

#if defined(__GNUC__)
#define SQUISH_ALWAYS_INLINE inline __attribute__((always_inline))
#define SQUISH_LAMBDA_INLINE __attribute__((always_inline))
#else
#define SQUISH_ALWAYS_INLINE inline
#define SQUISH_LAMBDA_INLINE
#endif

namespace squish {
namespace {

template <int kValue>
struct Index {
  constexpr operator int() const { return kValue; }
};

// body(Index<0>), body(Index<1>), ... body(Index<kCount - 1>).
template <int kCount, typename Body>
SQUISH_ALWAYS_INLINE void unroll(Body&& body) {
  if constexpr (kCount > 0) {
    unroll<kCount - 1>(body);
    body(Index<kCount - 1>());
  }
}

}  // namespace
}  // namespace squish
