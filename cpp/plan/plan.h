// What runs, on which buffers, for one image size. Built by a backend from the fused operations; immutable.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/fuse.h"
#include "plan/layout.h"

namespace squish {

struct PlannedBuffer {
  Layout layout;
  Quantisation quantisation;  // of bytes; or floats
  int64_t offset = 0;         // floats from the arena's start
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
  int64_t arena_floats = 0;
  // The caller's float NCHW image can stand for buffers[0] as it is.
  bool reads_input_in_place = false;
};

// The zero pixels that a convolution reads around its input: its padding and, where the input is not planar, what
// Winograd's 2x2 tiles of output reach beyond an odd edge.
Border border_of(const Window& window, bool planar);

// How activations lie in memory: in blocks of 16 channels with a border, the net's input planar, or in quads, where only
// convolutions read it; the same, planar, without a border; or all of them planar, or all in quads, and without a border.
enum class ActivationOrder : uint8_t { kBlocked, kQuads, kBorderless, kPlanar, kQuadPlanes };

// `held`: how each buffer (as Plan::buffers) is held in bytes; empty: none is. Throws InvalidArgument where the net does
// not admit the size or a buffer would need 2^31 values or more.
Plan make_plan(const Graph& graph, const std::vector<Op>& ops, int height, int width,
               ActivationOrder order = ActivationOrder::kBlocked, const std::vector<Quantisation>& held = {});

// How each buffer of a plan is held, of a net that is made for integer arithmetic.
std::vector<Quantisation> buffer_quantisations(const Graph& graph, const std::vector<Op>& ops);
// "i8" or "f32"; "values in bytes, 0.0123 a step" or "values in floats". For explain().
std::string held_name(const PlannedBuffer& buffer);
std::string held_text(const PlannedBuffer& buffer);

// How the channels of each buffer lie, whatever the image's size: layouts of one pixel.
std::vector<Layout> channel_layouts(const Graph& graph, const std::vector<Op>& ops, ActivationOrder order);

// The multiply-adds of an op's mathematics, dense, for one image; 0 for other ops than convolutions. For explain().
int64_t count_macs(const Op& op, const Step& step);

}  // namespace squish
