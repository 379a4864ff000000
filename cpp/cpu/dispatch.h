// Which instruction set runs: the best that this build and this CPU have, or the one that was asked for.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernel_table.h"

namespace squish {

// `wanted`: a name of kernels.inc; empty: $SQUISH_FORCE_ISA if set, else the best.
// Throws DeviceError where it is unknown, not built or not run by this CPU.
const KernelTable& choose_kernels(const std::string& wanted);

}  // namespace squish
