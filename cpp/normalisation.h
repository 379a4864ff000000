// How uint8 pixels become the net's input. Called by backends.
#pragma once

#include <vector>

#include "format/description.h"

namespace squish {

// scale[c] * pixel + shift[c]
struct Normalisation {
  std::vector<float> scale, shift;
};

Normalisation normalisation_of(const InputDescription& input);

}  // namespace squish
