// In what numbers a CPU session computes: how it packs a net, binds it to an image size, and runs one step of one image.
// CpuBackend owns one and calls it from its threads.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "backend.h"
#include "cpu/view.h"
#include "plan/plan.h"

namespace squish {

// A plan with what depends on both it and the packed weights.
struct BoundPlan {
  explicit BoundPlan(Plan p) : plan(std::move(p)) {}
  virtual ~BoundPlan() = default;

  Plan plan;
  int64_t scratch_floats = 0;  // a thread
};

// One image on its way through a plan.
struct ImageRun {
  const ImageBatch* batch;
  const uint8_t* image;
  float* output;
  const BoundPlan* bound;
  float* arena;
};

// A packed column, and its offset in images of one size.
template <typename Column>
inline constexpr size_t kColumnBytes = sizeof(Column) + sizeof(int32_t);

class Arithmetic {
 public:
  virtual ~Arithmetic() = default;

  // As they are packed, with where their columns lie.
  virtual int64_t weight_bytes() const = 0;
  virtual std::unique_ptr<BoundPlan> bind(int height, int width) const = 0;
  // A share of a step: 0 is the input, 1 .. the plan's steps, the last the output. False where it is the input and a value
  // is not finite. `scratch` is the thread's own.
  virtual bool run_step(const ImageRun& run, int step, float* scratch, Share share) const = 0;
  virtual std::vector<StepInfo> explain(const BoundPlan& bound) const = 0;
};

}  // namespace squish
