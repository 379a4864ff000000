#include "cpu/isa/vec_avx512.h"
// The vector type comes first: the loop is written over it.
#include "bench/fma_peak-inl.h"

namespace squish::bench {

constexpr FmaLoop kAvx512FmaLoop = make_fma_loop<24, true>("avx512");

}  // namespace squish::bench
