#include "cpu/isa/integers_avxvnni.h"
// The arithmetic comes first: the bodies below are written over it.
#include "cpu/isa/integer_table-inl.h"

namespace squish {

constexpr IntegerKernels kAvxvnniIntegers = make_integer_kernels<IntegerConv>("avxvnni");

}  // namespace squish
