// What the CPU backend runs and why, in words. Called by CpuBackend::explain and by tools/bench.
#pragma once

#include <cstdint>
#include <string>

#include "cpu/integer_steps.h"
#include "cpu/pack.h"
#include "plan/plan.h"
#include "squish/session.h"

namespace squish {

// made_for_integers: the net, which here is computed in floats.
StepInfo explain_input(const Plan& plan, bool made_for_integers);
StepInfo explain_op(const Op& op, const Plan& plan, size_t k, const PackedConv& conv, const std::string& isa);
// The same in integer arithmetic.
StepInfo explain_integer_input(const Plan& plan, const MixedKernels& kernels);
StepInfo explain_integer_op(const Op& op, const Plan& plan, size_t k, const PackedIntegerConv& conv,
                            const MixedKernels& kernels);
StepInfo explain_output(const Plan& plan);

// The multiply-adds that the kernels do for an output of this shape, before pooling.
int64_t conv_macs_run(const PackedConv& conv, const Shape& out);
int64_t conv_macs_run(const PackedIntegerConv& conv, const Shape& out);

}  // namespace squish
