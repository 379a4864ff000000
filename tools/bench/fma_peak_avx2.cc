#include "cpu/isa/vec_avx2.h"
// The vector type comes first: the loop is written over it.
#include "bench/fma_peak-inl.h"

namespace squish::bench {

constexpr FmaLoop kAvx2FmaLoop = make_fma_loop<12, true>("avx2");

}  // namespace squish::bench
