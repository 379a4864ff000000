// GCC would load activations long before they are multiplied, until no registers are left: 14 accesses of the stack in the loop of
// tile<1, 5, 16, 1>.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-schedule-insns")
#endif

#include "cpu/isa/integers_neon.h"
// The arithmetic comes first: the bodies below are written over it.
#include "cpu/isa/integer_table-inl.h"

namespace squish {

constexpr IntegerKernels kNeonIntegers = make_integer_kernels<IntegerConv>("neon");

}  // namespace squish
