// A whole net on every instruction set and several numbers of threads against the reference in double
// precision.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/image.h"

namespace squish::testing {

SessionOptions session_options(const std::string& isa, int threads = 1, bool winograd = true);

// Fails the test unless the first image's output is within the reference's bound, and every image's is bit for
// bit the same alone, in the batch, in a second run, and on so many threads.
void check_net(const std::shared_ptr<const Model>& model, const Images& images, bool winograd,
               const std::vector<int>& threads = {3});

// Images of a batch: on 3 threads, three of them side by side, then one shared by all threads.
inline constexpr int64_t kImages = 4;

// With random images of that size: floats with Winograd's algorithm, uint8 without.
void check_net(const std::shared_ptr<const Model>& model, int height, int width);

}  // namespace squish::testing
