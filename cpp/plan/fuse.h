// From layers to operations: what runs as one step. Independent of image size and device.
#pragma once

#include <string>
#include <vector>

#include "model/graph.h"

namespace squish {

enum class OpKind : uint8_t { kConv, kMaxPool, kAdd, kGlobalAveragePool };

// One step of a plan.
struct Op {
  OpKind kind = OpKind::kConv;
  std::string name;         // "fire5/expand+pool5"
  std::vector<int> inputs;  // ops; -1: the net's input
  int last_layer = 0;       // the layer whose output this op's is; a Fire's squeeze has none: -1

  // kConv: convolutions that read one input and whose outputs lie side by side (a Fire's expands).
  std::vector<const ConvDescription*> convs;
  // kConv: a 1x1 convolution of the op's input that `convs` read instead and nobody else (a whole Fire's squeeze).
  const ConvDescription* squeeze = nullptr;
  // kConv: what is done to each output block while it is in cache.
  bool pooled = false;    // max pooling with `window`
  bool averaged = false;  // global average pooling

  Window window;  // of the pool: kMaxPool, or kConv when pooled
  bool ceil_mode = false;
  bool relu = false;  // kAdd
};

// What fuse() may do.
struct Fusion {
  std::vector<bool> whole_fires = {};  // by layer: Fires that become one op; empty: none does
  bool averages = true;                // a global average into the convolution before it
};

// The operations of a net in the order they run. A Fire becomes two convolutions: its squeeze, and its expands as
// one, each writing its own slice of the concatenated output; or one op. A pool whose input nobody else reads is fused
// into the convolution before it: a global average, or SqueezeNet's 3x3 maximum with stride 2.
std::vector<Op> fuse(const Graph& graph, const Fusion& fusion = {});

}  // namespace squish
