// Activations in bytes, weights in int8, sums in int32: what a file that is made for it says (format/layout.h), to the bit.
#pragma once

#include <memory>
#include <vector>

#include "cpu/arithmetic.h"
#include "cpu/integer_steps.h"

namespace squish {

class IntegerArithmetic final : public Arithmetic {
 public:
  // The net is made for integers.
  IntegerArithmetic(const Graph& graph, const MixedKernels& kernels);

  int64_t weight_bytes() const override;
  std::unique_ptr<BoundPlan> bind(int height, int width) const override;
  bool run_step(const ImageRun& run, int step, float* scratch, Share share) const override;
  std::vector<StepInfo> explain(const BoundPlan& bound) const override;

 private:
  struct Bound final : BoundPlan {
    using BoundPlan::BoundPlan;
    std::vector<BoundIntegerConv> convs;  // one an op
  };

  MixedView buffer(const ImageRun& run, int index) const;
  void run_op(const ImageRun& run, size_t op, float* scratch, Share share) const;

  const Graph& graph_;
  MixedKernels kernels_;
  std::vector<Op> ops_;
  std::vector<Quantisation> held_;         // buffers
  std::vector<PackedIntegerConv> packed_;  // one an op
  IntegerInput input_;
};

}  // namespace squish
