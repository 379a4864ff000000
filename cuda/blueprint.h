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

// How Fires run: as the model of choose.h says, or one way wherever it can be, for tests and measurements.
enum class FirePolicy : uint8_t { kModelled, kWhole, kApart };

// The packed convolutions of a net, by the first that lies in each pack: for integer arithmetic, for tensor cores or for the
// others, as all kernels of a net share the order of its activations.
struct Packs {
  StorageType storage = StorageType::kF32;
  bool on_tensor_cores = false;
  std::vector<Quantisation> held;  // of integer arithmetic: buffers
  std::map<const ConvDescription*, PackedConvs> convs;
  std::map<const ConvDescription*, PackedBundles> bundles;
  std::map<const ConvDescription*, PackedIntegerConvs> integers;

  bool in_integers() const { return storage == StorageType::kI8; }
};
// tensor_cores: whether the device has them. They are not used where the net's input has other readers than convolutions,
// nor for integers, for which the net must be made.
Packs pack_net(const Graph& graph, bool tensor_cores, StorageType storage);

// How one op runs.
struct OpChoice {
  Tiling tiling{};  // where it is pooled or a whole Fire
  int pixels = 1;   // a thread owns of another convolution
  FireChoice fire;  // a whole Fire's, or what spoke against it
  MmaChoice mma;    // where it runs on tensor cores
  bool padded = false;
};

struct Blueprint {
  int64_t images = 1;
  StorageType storage = StorageType::kF32;
  bool on_tensor_cores = false;
  std::vector<Op> ops;
  Plan plan;                      // of one image; a batch takes so many times the memory
  std::vector<OpChoice> choices;  // one an op

  // Whether the last op leaves its results as the caller has them, or a step of its own must write them so.
  bool writes_results() const;
};

// Throws InvalidArgument where the net does not admit the size.
Blueprint make_blueprint(const Graph& graph, const Packs& packs, int height, int width, int64_t images,
                         int multiprocessors, FirePolicy policy);

// The input, then one row an op; then the output, where it is not stored as the caller's floats.
std::vector<StepInfo> explain(const Blueprint& blueprint, const Packs& packs);

}  // namespace squish::cuda
