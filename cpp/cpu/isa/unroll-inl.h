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

// <utility>'s integer_sequence, without a standard header in files with -m flags.
template <int... kValues>
struct Sequence {};
template <int kCount, int... kValues>
struct MakeSequence : MakeSequence<kCount - 1, kCount - 1, kValues...> {};
template <int... kValues>
struct MakeSequence<0, kValues...> {
  using type = Sequence<kValues...>;  // 0 .. kCount - 1
};

template <typename Body, int... kValues>
SQUISH_ALWAYS_INLINE void unroll_over(Body& body, Sequence<kValues...>) {
  (body(Index<kValues>()), ...);
}

// body(Index<0>), body(Index<1>), ... body(Index<kCount - 1>).
template <int kCount, typename Body>
SQUISH_ALWAYS_INLINE void unroll(Body&& body) {
  unroll_over(body, typename MakeSequence<kCount>::type());
}

}  // namespace
}  // namespace squish
