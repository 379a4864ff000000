// A little net that has one of everything the format knows: all kinds of layers, all encodings in all types, widths
// that are no multiple of anything, absent expands. tools/make_golden writes it; the tests of the format break it.
#pragma once

#include <cstdint>
#include <vector>

#include "format/write.h"

namespace squish::testing {

// A layer before its convs are encoded.
struct LayerSource {
  LayerDescription layer;  // without convs
  std::vector<ConvSource> convs;
};

// The weights are multiples of 1/128 below 1, and the largest of every output channel is 127/128: each type,
// int8 included, holds them exactly.
std::vector<LayerSource> golden_layers();

InputDescription golden_input();
std::vector<std::string> golden_labels();

// The file of the net, made by write().
std::vector<uint8_t> golden_file();

}  // namespace squish::testing
