#include "cpu/isa/vec_scalar.h"
// The vector type comes first: the loop is written over it.
#include "bench/fma_peak-inl.h"

namespace squish::bench {

constexpr FmaLoop kScalarFmaLoop = make_fma_loop<12, false>("scalar");

}  // namespace squish::bench
