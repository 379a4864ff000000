// A whole net on the test's device against the reference in double precision.
#pragma once

#include <memory>

#include "cuda/blueprint.h"
#include "emulator/scheduler.h"
#include "squish/model.h"
#include "support/image.h"

namespace squish::testing {

// Fails the test unless the first image's output is within the reference's bound and every image's is bit for bit the
// same alone, in the batch and in a second run, in this order of threads. On tensor cores, where the amount of work
// decides in which order a sum is computed: unless every image's is within the bound, alone and in the batch, and a second
// run of the batch is bit for bit the first.
void check_net_on_cuda(const std::shared_ptr<const Model>& model, const Images& images,
                       cuda::PlanPolicy policy, emulator::Order order,
                       cuda::StorageType storage = cuda::StorageType::kF32, bool tensor_cores = false);

// With random images of that size: floats and uint8, Fires whole and apart, in every order of threads; and stored as
// f16; on tensor cores and without them; and with plans that were measured, where the emulator's clock says anything.
void check_net_on_cuda(const std::shared_ptr<const Model>& model, int height, int width);

}  // namespace squish::testing
