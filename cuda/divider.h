// Makes the Divider of a number, for kernels.
#pragma once

#include <cstdint>

#include "cuda/tasks.h"

namespace squish::cuda {

// Exact below 2^31: with 2^(shift - 31) >= divisor, the factor's error, below 1, is multiplied by less than 2^31.
inline Divider divider(int64_t number) {
  const auto divisor = static_cast<uint32_t>(number);
  int shift = 31;
  if (divisor == 0) return {};  // of what is not there
  while (uint64_t{1} << (shift - 31) < divisor) ++shift;
  return {divisor, static_cast<uint32_t>((uint64_t{1} << shift) / divisor + 1), shift};
}

}  // namespace squish::cuda
