// One convolution on the kernels of one instruction set: packed, bound to buffers, checked, ready to be timed.
#pragma once

#include <string>
#include <vector>

#include "bench/conv_shapes.h"
#include "cpu/aligned.h"
#include "cpu/steps.h"
#include "format/write.h"
#include "reference/activation.h"

namespace squish::bench {

// A convolution with random weights and input, and what the plain double loop makes of them.
class ConvProblem {
 public:
  // `density`: the share of 16x1 clusters that live.
  ConvProblem(const ConvShape& shape, double density);

  const ConvShape& shape() const { return shape_; }
  const ConvDescription& conv() const { return encoded_.description; }
  const reference::Activation& input() const { return input_; }
  // in_tiles: with the bound of Winograd's algorithm.
  const reference::Activation& wanted(bool in_tiles) const { return in_tiles ? wanted_in_tiles_ : wanted_; }

 private:
  ConvShape shape_;
  EncodedConv encoded_;
  reference::Activation input_, wanted_, wanted_in_tiles_;
};

class ConvTrial {
 public:
  // Refers to the problem and the kernels. Throws Error where the kernels' result is out of the reference's bounds: a
  // wrong kernel's time is of no interest.
  ConvTrial(const ConvProblem& problem, const KernelTable& kernels, const PackOptions& packing);
  ConvTrial(const ConvTrial&) = delete;
  ConvTrial& operator=(const ConvTrial&) = delete;

  void run();
  int64_t macs_run() const;
  bool has_pairs() const;
  bool has_tiles() const { return !packed_.winograd_groups.empty(); }

 private:
  void load_input();
  void check() const;

  const ConvProblem& problem_;
  const KernelTable& kernels_;
  Op op_;
  PackedConv packed_;
  Layout in_, out_;
  BoundConv bound_;
  AlignedArray<float> input_, output_, scratch_;
};

}  // namespace squish::bench
