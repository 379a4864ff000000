// A whole net in integers, to the bit what format/layout.h says under INTEGER ARITHMETIC: the truth of the tests of engines
// that compute so, and what device "reference" runs for a net that is made for it.
#pragma once

#include <cstdint>
#include <vector>

#include "model/graph.h"

namespace squish::reference {

// One image's activation, in bytes or in floats.
struct IntegerActivation {
  Shape shape;
  Quantisation quantisation;
  std::vector<uint8_t> bytes;  // [C][H][W], where the quantisation is of bytes
  std::vector<float> values;   // [C][H][W], where it is not

  size_t at(int c, int y, int x) const {
    return (static_cast<size_t>(c) * static_cast<size_t>(shape.height) + static_cast<size_t>(y)) *
               static_cast<size_t>(shape.width) +
           static_cast<size_t>(x);
  }
  float value(size_t at) const;
};

// The net's input, as floats: a uint8 image [H][W][C], normalised.
std::vector<float> normalised(const InputDescription& input, const uint8_t* pixels, int height, int width);

// The output for one image, float [C][H][W]. The net is made for integers.
std::vector<float> run_in_integers(const Graph& graph, const float* image, int height, int width);

}  // namespace squish::reference
