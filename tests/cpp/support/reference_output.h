// What a whole net must compute, by the reference in double precision.
#pragma once

#include <vector>

#include "squish/session.h"
#include "support/expected.h"

namespace squish::testing {

// The output for one image and how far a float32 engine may be from it. winograd: one that may use Winograd's algorithm.
std::vector<Expected> reference_output(const Model& model, const ImageBatch& image, bool winograd);

}  // namespace squish::testing
