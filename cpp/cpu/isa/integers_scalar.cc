#include "cpu/isa/integers_scalar.h"
// The arithmetic comes first: the bodies below are written over it.
#include "cpu/isa/integer_table-inl.h"

namespace squish {

constexpr IntegerKernels kScalarIntegers = make_integer_kernels<IntegerConv>("scalar");

}  // namespace squish
