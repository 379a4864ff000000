// Which instruction set runs: the best that this build and this CPU have, or the one that was asked for.
#pragma once

#include <string>
#include <vector>

#include "cpu/integer_kernels.h"
#include "cpu/kernel_table.h"

namespace squish {

// `wanted`: a name of kernels.inc; empty: $SQUISH_FORCE_ISA if set, else the best.
// Throws DeviceError where it is unknown, not built or not run by this CPU.
const KernelTable& choose_kernels(const std::string& wanted);

// The best integer kernels that this CPU has, and that want no better instruction set than these kernels are of.
const IntegerKernels& choose_integer_kernels(const KernelTable& kernels);
// What takes photographs faster than these kernels' quads() does, on this CPU; else null.
RgbQuadKernel choose_rgb_quads(const IntegerKernels& kernels);
// All that this CPU has, best first. Called by tests.
std::vector<const IntegerKernels*> available_integer_kernels();

}  // namespace squish
