// Tests once for each instruction set that kernels.inc lists, this build has and this CPU runs.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "cpu/dispatch.h"
#include "squish/session.h"

namespace squish::testing {

// A test suite whose parameter is the name of an instruction set.
class IsaTest : public ::testing::TestWithParam<std::string> {
 protected:
  const KernelTable& kernels() const { return choose_kernels(GetParam()); }
};

inline std::string isa_name(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

}  // namespace squish::testing

#define SQUISH_TEST_EACH_ISA(suite)                                                      \
  INSTANTIATE_TEST_SUITE_P(Isas, suite, ::testing::ValuesIn(::squish::available_isas()), \
                           ::squish::testing::isa_name)
