#include "cpu/isa/vec_avx2.h"
// The vector type comes first: the bodies below are written over it.
#include "cpu/isa/table-inl.h"

namespace squish {

constexpr KernelTable kAvx2Kernels = make_table("avx2");

}  // namespace squish
