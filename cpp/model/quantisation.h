// Which activations of a net are held in bytes, where its file is made for integer arithmetic (format/layout.h has the
// rules). Called by backends that compute in integers.
#pragma once

#include <string>
#include <vector>

#include "model/graph.h"

namespace squish {

struct Quantisations {
  std::vector<Quantisation> outputs;  // of the net's input, then of each layer

  // Of layer k's output; of the net's input for k = -1.
  const Quantisation& output_of(int k) const { return outputs[static_cast<size_t>(k + 1)]; }
};

// Empty where the net is made for integer arithmetic; otherwise the first reason why it is not: "layer 3 'fire4': ...".
std::string why_not_in_integers(const Graph& graph);

// Of a net that is made for it.
Quantisations quantisations_of(const Graph& graph);

// How a Fire's squeeze is held: what its expands say.
const Quantisation& squeeze_quantisation(const LayerDescription& fire);

}  // namespace squish
