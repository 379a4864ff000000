#include "cpu/isa/vec_scalar.h"
// The vector type comes first: the bodies below are written over it.
#include "cpu/isa/table-inl.h"

namespace squish {

constexpr KernelTable kScalarKernels = make_table("scalar");

}  // namespace squish
