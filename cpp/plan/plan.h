// What runs, on which buffers, for one image size. Built by a backend from the fused operations; immutable.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/fuse.h"
#include "plan/layout.h"

namespace squish {

struct PlannedBuffer {
  Layout layout;
  int64_t offset = 0;  // bytes from the arena's start
};

// The places of one op.
struct Step {
  std::vector<int> inputs;  // buffers
  int output = 0;           // buffer
  Shape conv_output;        // kConv: before any pooling, all convolutions together
  Shape output_shape;
};

struct Plan {
  int height = 0, width = 0;
  std::vector<PlannedBuffer> buffers;  // buffers[0] is the net's input
  std::vector<Step> steps;             // one an op
  int64_t arena_bytes = 0;
  // The caller's float NCHW image can stand for buffers[0] as it is.
  bool reads_input_in_place = false;
};

// Throws InvalidArgument where the net does not admit the size or a buffer would need 2^31 floats or more.
Plan make_plan(const Graph& graph, const std::vector<Op>& ops, int height, int width);

// What an op is computed on, once shapes are known, for explain(): the multiply-adds of its mathematics.
int64_t count_macs(const Op& op, const Step& step);

}  // namespace squish
