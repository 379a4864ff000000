#include "cuda/candidates.h"

namespace squish::cuda {
namespace {

std::vector<FireChoice> fire_candidates(const Op& op, const Workload& work, const Packs& packs) {
  const int bytes = value_bytes(packs.storage);
  if (packs.on_tensor_cores)
    return fire_mma_candidates(work, packs.bundles.at(op.squeeze), packs.bundles.at(op.convs[0]), bytes);
  return fire_candidates(work, int64_t{op.squeeze->out_channels} * bytes, packs.convs.at(op.squeeze),
                         packs.convs.at(op.convs[0]));
}

bool same_way(const OpChoice& a, const OpChoice& b) {
  return a.tiling == b.tiling && a.pixels == b.pixels && a.fire.splits == b.fire.splits && a.mma == b.mma &&
         a.on_tensor_cores == b.on_tensor_cores;
}

}  // namespace

std::vector<OpChoice> candidates(const Blueprint& blueprint, size_t k, const Packs& packs,
                                 int multiprocessors) {
  const Op& op = blueprint.ops[k];
  if (op.kind != OpKind::kConv) return {};
  const OpChoice& first = blueprint.choices[k];
  std::vector<OpChoice> all{first};
  const auto add = [&](const OpChoice& choice) {
    if (!same_way(choice, first)) all.push_back(choice);
  };
  const Workload work = workload_of(blueprint, k, multiprocessors);
  OpChoice choice = first;
  if (op.squeeze != nullptr) {
    for (const FireChoice& fire : fire_candidates(op, work, packs)) {
      choice.tiling = choice.fire.tiling = fire.tiling;
      choice.fire.splits = fire.splits;
      choice.fire.steps_whole = fire.steps_whole;
      add(choice);
    }
    return all;
  }
  const BundledSteps* const bundles = packs.for_tensor_cores(op.convs[0]);
  if (bundles != nullptr) {
    for (const MmaChoice& mma : mma_candidates(work, *bundles)) {
      choice.mma = mma;
      choice.tiling = mma.tiling;
      add(choice);
    }
  }
  if (packs.on_tensor_cores) return all;  // the others' activations lie in another order
  choice.on_tensor_cores = false;
  choice.mma = {};
  choice.tiling = {};
  if (op.pooled) {
    for (const Tiling& tiling : pooled_tilings(work)) {
      choice.tiling = tiling;
      add(choice);
    }
  } else {
    for (int pixels : {1, 2}) {
      choice.pixels = pixels;
      add(choice);
    }
  }
  return all;
}

}  // namespace squish::cuda
