// Input that is not a number. Called by backends.
#pragma once

#include "squish/model.h"
#include "squish/session.h"

namespace squish {

// Throws InvalidArgument that names the first value of a float batch that is NaN or infinite; returns if there is
// none. `shape` is one image's.
void check_finite(const ImageBatch& input, const Shape& shape);

}  // namespace squish
