// Little nets whose files tools/make_golden writes and the tests of the format break. One has one of everything the
// format knew at first: all kinds of layers, all encodings in all types, widths that are no multiple of anything,
// absent expands. The other has all encodings in int4.
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

// The same of the int4 net, with the same input and labels. Its weights are multiples of 1/8 below 1, and the largest of
// every output channel is 7/8: int4 holds them exactly. Its convs have odd and even numbers of values.
std::vector<LayerSource> golden_int4_layers();
std::vector<uint8_t> golden_int4_file();

// The same net with int8 and f16 among int4 and most weights small; all that are integers are compressed.
std::vector<LayerSource> golden_compressed_layers();
std::vector<uint8_t> golden_compressed_file();

}  // namespace squish::testing
