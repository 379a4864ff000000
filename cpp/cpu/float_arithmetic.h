// Everything in float32.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cpu/arithmetic.h"
#include "cpu/kernel_table.h"
#include "cpu/pack.h"
#include "cpu/steps.h"
#include "normalisation.h"

namespace squish {

class FloatArithmetic final : public Arithmetic {
 public:
  FloatArithmetic(const Graph& graph, const KernelTable& kernels, bool winograd);

  int64_t weight_bytes() const override;
  std::unique_ptr<BoundPlan> bind(int height, int width) const override;
  bool run_step(const ImageRun& run, int step, float* scratch, Share share) const override;
  std::vector<StepInfo> explain(const BoundPlan& bound) const override;

 private:
  struct Bound final : BoundPlan {
    using BoundPlan::BoundPlan;
    std::vector<BoundConv> convs;  // one an op
  };

  bool run_input(const ImageRun& run, Share share) const;
  void run_op(const ImageRun& run, size_t op, float* scratch, Share share) const;

  const Graph& graph_;
  const KernelTable& kernels_;
  std::vector<Op> ops_;
  std::vector<PackedConv> packed_;  // one an op
  Normalisation normalisation_;
};

}  // namespace squish
