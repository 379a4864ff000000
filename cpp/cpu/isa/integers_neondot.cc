#include "cpu/isa/integers_neondot.h"
// The arithmetic comes first: the bodies below are written over it.
#include "cpu/isa/integer_table-inl.h"

namespace squish {

constexpr IntegerKernels kNeondotIntegers = make_integer_kernels<IntegerConv>("neondot");

}  // namespace squish
