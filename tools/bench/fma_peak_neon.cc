#include "cpu/isa/vec_neon.h"
// The vector type comes first: the loop is written over it.
#include "bench/fma_peak-inl.h"

namespace squish::bench {

constexpr FmaLoop kNeonFmaLoop = make_fma_loop<24, true>("neon");

}  // namespace squish::bench
