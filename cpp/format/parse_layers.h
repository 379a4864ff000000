// The middle of parse(): the layer and conv records, the names and the payloads that belong to them.
#pragma once

#include <vector>

#include "format/byte_reader.h"
#include "format/description.h"

namespace squish {

// Each reader stands at the beginning of its section and is read to its end, in the order of the layers.
struct LayerSections {
  ByteReader layers, convs, strings, weights;
};

std::vector<LayerDescription> parse_layers(LayerSections sections);

// The next conv record and its payload. The place of `convs` says which conv it is.
ConvDescription parse_conv(ByteReader& convs, ByteReader& weights, bool may_be_absent);

Window parse_window(ByteReader& reader);

// Conv 1, Fire 3, others 0; Add 2 inputs, others 1. Shared with write().
int conv_count(LayerKind kind);
int input_count(LayerKind kind);

}  // namespace squish
