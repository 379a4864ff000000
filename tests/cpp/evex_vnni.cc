// The kernels for AVX-VNNI with vpdpbusd as AVX-512 encodes it: they are tested on CPUs that have no other encoding.
#define SQUISH_VPDPBUSD "%{evex%} vpdpbusd"

#include "cpu/isa/integers_avxvnni.h"
// The arithmetic comes first: the bodies below are written over it.
#include "cpu/isa/integer_table-inl.h"

namespace squish {

// NOLINTNEXTLINE(readability-identifier-naming): as in integer_kernels.h
extern const IntegerKernels kEvexVnniIntegers;
constexpr IntegerKernels kEvexVnniIntegers = make_integer_kernels<IntegerConv>("avxvnni_as_avx512");

}  // namespace squish
