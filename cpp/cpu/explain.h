// What the CPU backend runs and why, in words. Called by CpuBackend::explain.
#pragma once

#include <string>

#include "cpu/pack.h"
#include "plan/plan.h"
#include "squish/session.h"

namespace squish {

StepInfo explain_input(const Plan& plan);
StepInfo explain_op(const Op& op, const Plan& plan, size_t k, const PackedConv& conv, const std::string& isa);
StepInfo explain_output(const Plan& plan);

}  // namespace squish
