// Nets of every shape that evolution makes, each from a seed.
#pragma once

#include <cstdint>
#include <memory>

#include "squish/model.h"

namespace squish::testing {

struct RandomNet {
  std::shared_ptr<const Model> model;
  int height, width;  // of an image that it admits
};

// Seed modulo 4: like SqueezeNet 1.0, like 1.1, with bypasses, of free form.
RandomNet random_net(uint32_t seed);
// The same, made for integer arithmetic.
RandomNet random_integer_net(uint32_t seed);

}  // namespace squish::testing
