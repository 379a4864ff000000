// What runs on the device for one image size and batch size, and why: decided on the host, without memory for it.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "cuda/choose.h"
#include "cuda/choose_mma.h"
#include "cuda/integer_pack.h"
#include "cuda/pack.h"
#include "plan/plan.h"
#include "squish/session.h"

namespace squish::cuda {

// How ops run: as the model of choose.h says, as the device has measured it (tune.h); or as modelled with Fires one way
// wherever it can be, for tests and measurements.
enum class PlanPolicy : uint8_t { kModelled, kMeasured, kWhole, kApart };

// The packed convolutions of a net, by the first that lies in each pack: for integer arithmetic, for tensor cores or for the
// others, as all kernels of a net share the order of its activations. Integers have one order, and kernels of both kinds.
struct Packs {
  StorageType storage = StorageType::kF32;
  bool on_tensor_cores = false;    // all convolutions, of floats
  std::vector<Quantisation> held;  // of integer arithmetic: buffers
  std::map<const ConvDescription*, PackedConvs> convs;
  std::map<const ConvDescription*, PackedBundles> bundles;
  std::map<const ConvDescription*, PackedIntegerConvs> integers;
  std::map<const ConvDescription*, PackedQuadBundles> quad_bundles;  // the same; none without tensor cores

  bool in_integers() const { return storage == StorageType::kI8; }
  // Those that begin with this one, for tensor cores; null where there are none.
  const BundledSteps* for_tensor_cores(const ConvDescription* first) const;
};
// tensor_cores: whether the device has them. They are not used where the net's input in floats has other readers than
// convolutions. Integers: the net must be made for them.
Packs pack_net(const Graph& graph, bool tensor_cores, StorageType storage);

// What was measured of the ways in which something can run, where that was (tune.h).
struct Measured {
  int ways = 0;
  double seconds = 0;   // of the one that is taken
  double modelled = 0;  // of the model's
  double least = 0;     // that any took when it was tried
};

// How one op runs.
struct OpChoice {
  Tiling tiling{};  // where it is pooled or a whole Fire
  int pixels = 1;   // a thread owns of another convolution
  FireChoice fire;  // a whole Fire's, or what spoke against it
  MmaChoice mma;    // where it runs on tensor cores
  bool on_tensor_cores = false;
  bool padded = false;
  Measured measured;
};

struct Blueprint {
  int64_t images = 1;
  StorageType storage = StorageType::kF32;
  bool on_tensor_cores = false;
  std::vector<Op> ops;
  Plan plan;                      // of one image; a batch takes so many times the memory
  std::vector<OpChoice> choices;  // one an op
  Measured measured;  // by measurement of each op, perhaps with Fires as modelled, and by the model

  // Whether the last op leaves its results as the caller has them, or a step of its own must write them so.
  bool writes_results() const;
};

// What is measured begins as modelled. Throws InvalidArgument where the net does not admit the size.
Blueprint make_blueprint(const Graph& graph, const Packs& packs, int height, int width, int64_t images,
                         int multiprocessors, PlanPolicy policy);
// The same with these of the net's layers, which must be Fires that can, as whole Fires.
Blueprint make_blueprint(const Graph& graph, const Packs& packs, int height, int width, int64_t images,
                         int multiprocessors, const std::vector<bool>& whole);

// What an op of it comes to.
Workload workload_of(const Blueprint& blueprint, size_t op, int multiprocessors);

// The input, then one row an op; then the output, where it is not stored as the caller's floats.
std::vector<StepInfo> explain(const Blueprint& blueprint, const Packs& packs);

}  // namespace squish::cuda
