// GCC 12's own avx512fintrin.h initialises an "undefined" vector with itself and then warns of it in every function
// that uses an unmasked intrinsic (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "cpu/isa/integers_avx512vnni.h"
// The arithmetic comes first: the bodies below are written over it.
#include "cpu/isa/integer_table-inl.h"

namespace squish {

constexpr IntegerKernels kAvx512vnniIntegers = make_integer_kernels<IntegerConv>("avx512vnni");

}  // namespace squish
