#include "normalisation.h"

namespace squish {

Normalisation normalisation_of(const InputDescription& input) {
  Normalisation norm;
  for (size_t c = 0; c < input.mean.size(); ++c) {
    norm.scale.push_back(static_cast<float>(1 / (255.0 * input.std[c])));
    norm.shift.push_back(static_cast<float>(-double{input.mean[c]} / input.std[c]));
  }
  return norm;
}

}  // namespace squish
