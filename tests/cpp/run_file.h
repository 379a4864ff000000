// Runs the net of a file that loads, whatever it says: a file is untrusted until its net has been planned, packed and
// computed. Called by the tests of damaged files and by tools/fuzz.
#pragma once

#include <cstdint>
#include <vector>

namespace squish::testing {

enum class RunResult {
  kNotRun,    // too large for a test, or the net does not admit a small image
  kRan,       // on the CPU backend
  kCompared,  // and its output was within the reference's bound
};

// Runs an image of at most 32x32 pixels, as floats and as uint8. Throws FormatError where the file does not load,
// std::logic_error where the output is out of the reference's bound.
RunResult run_file(const std::vector<uint8_t>& file);

}  // namespace squish::testing
