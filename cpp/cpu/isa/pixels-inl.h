// The net's input: uint8 pixels to normalised planes, and the check that floats are finite. Loops that compilers
// turn into vector code with the flags of each instruction set.
#pragma once

#include "cpu/kernel_table.h"

namespace squish {
namespace {

// A constant number of channels makes the strided loads shuffles of whole vectors.
template <int kChannels>
void pixels_of(const PixelTask& task) {
  for (int c = 0; c < kChannels; ++c) {
    const float scale = task.scale[c], shift = task.shift[c];
    const uint8_t* __restrict__ input = task.input + c;
    float* __restrict__ output = task.output + c * task.plane;
    for (ptrdiff_t x = 0; x < task.width; ++x)
      output[x] = static_cast<float>(input[x * kChannels]) * scale + shift;
  }
}

// The format allows 1 to 4 channels.
void pixels(const PixelTask& task) {
  if (task.channels == 1) return pixels_of<1>(task);
  if (task.channels == 2) return pixels_of<2>(task);
  if (task.channels == 3) return pixels_of<3>(task);
  pixels_of<4>(task);
}

// All exponent bits set: NaN or infinite.
bool all_finite(const float* values, ptrdiff_t count) {
  constexpr uint32_t kExponent = 0x7f800000u;
  uint32_t bad = 0;
  for (ptrdiff_t i = 0; i < count; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, values + i, sizeof(bits));
    bad |= static_cast<uint32_t>((bits & kExponent) == kExponent);
  }
  return bad == 0;
}

}  // namespace
}  // namespace squish
