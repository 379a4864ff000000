// The CUDA device for sessions.
#include <string>
#include <utility>

#include "backend.h"
#include "cuda/cuda_backend.h"
#include "squish/error.h"

namespace squish {

std::unique_ptr<Backend> make_cuda_backend(std::shared_ptr<const Model> model,
                                           const SessionOptions& options) {
  const std::optional<int> ordinal = cuda::cuda_ordinal(options.device);
  if (!ordinal) {
    throw DeviceError("device: got '" + options.device +
                      "', wanted 'cuda' or 'cuda:' and the number of a device");
  }
  if (options.threads != 1) {
    throw InvalidArgument("threads: got " + std::to_string(options.threads) + ", device '" + options.device +
                          "' is driven by 1");
  }
  if (!options.isa.empty()) {
    throw InvalidArgument("isa: got '" + options.isa + "', device '" + options.device +
                          "' has no instruction sets");
  }
  const auto storage = options.storage == "f16"  ? cuda::StorageType::kF16
                       : options.storage == "i8" ? cuda::StorageType::kI8
                                                 : cuda::StorageType::kF32;
  return std::make_unique<cuda::CudaBackend>(
      std::move(model), cuda::make_cuda_runtime(*ordinal),
      options.tune ? cuda::PlanPolicy::kMeasured : cuda::PlanPolicy::kModelled, storage);
}

}  // namespace squish
