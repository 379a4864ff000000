// The ways in which an op could run, among which tune.h measures and choose.h's model does not have to be right.
#pragma once

#include <vector>

#include "cuda/blueprint.h"

namespace squish::cuda {

// Of a convolution or Fire of a blueprint: the way that it has, then the others. Of other ops none, as there is one only.
// Whether a Fire runs whole is the blueprint's affair.
std::vector<OpChoice> candidates(const Blueprint& blueprint, size_t op, const Packs& packs,
                                 int multiprocessors);

}  // namespace squish::cuda
