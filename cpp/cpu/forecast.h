// Which arithmetic computes a net sooner: what storage "auto" asks of a net that is made for integers.
#pragma once

#include "model/graph.h"
#include "squish/session.h"

namespace squish {

// Whether that is integers, for images of the size that the net was made for. A model, so that the answer depends on the
// net and the instruction set alone: clusters that live, pixels, and what the kernels say that these cost them. Throws
// DeviceError where there is no such instruction set.
bool integers_are_faster(const Graph& graph, const SessionOptions& options);

}  // namespace squish
