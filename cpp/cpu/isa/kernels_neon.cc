#include "cpu/isa/vec_neon.h"
// The vector type comes first: the bodies below are written over it.
#include "cpu/isa/table-inl.h"

namespace squish {

constexpr KernelTable kNeonKernels = make_table("neon");

}  // namespace squish
