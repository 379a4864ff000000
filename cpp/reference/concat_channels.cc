#include "reference/ops.h"

namespace squish::reference {

Activation concat_channels(const Activation& a, const Activation& b) {
  Activation out = a;
  out.shape.channels += b.shape.channels;
  out.value.insert(out.value.end(), b.value.begin(), b.value.end());
  out.variance.insert(out.variance.end(), b.variance.begin(), b.variance.end());
  return out;
}

}  // namespace squish::reference
