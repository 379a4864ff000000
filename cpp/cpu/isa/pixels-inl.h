// The net's input: uint8 pixels to normalised planes, and the check that floats are finite. Loops that compilers
// turn into vector code with the flags of each instruction set.
#pragma once

#include "cpu/isa/unroll-inl.h"
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

// Photographs: where compilers load by strides of three, a shuffle splits 16 pixels at once. The last 16 of a row may be
// some of the 16 before them again.
void pixels_of_rgb(const PixelTask& task) {
  constexpr int kPixels = kVecs * kLanes;
  if (task.width < kPixels) return pixels_of<3>(task);
  Vec scale[3], shift[3];
  for (int c = 0; c < 3; ++c) {
    scale[c] = broadcast(task.scale + c);
    shift[c] = broadcast(task.shift + c);
  }
  const ptrdiff_t last = task.width - kPixels;
  for (ptrdiff_t x = 0; x < task.width; x += kPixels) {
    const ptrdiff_t first = x < last ? x : last;
    Vec planes[3][kVecs];
    load_rgb(task.input + 3 * first, planes);
    unroll<3 * kVecs>([&](auto i) SQUISH_LAMBDA_INLINE {
      const Vec value = add(mul(planes[i / kVecs][i % kVecs], scale[i / kVecs]), shift[i / kVecs]);
      store(task.output + (i / kVecs) * task.plane + first + (i % kVecs) * kLanes, value);
    });
  }
}

// The format allows 1 to 4 channels.
void pixels(const PixelTask& task) {
  if (task.channels == 1) return pixels_of<1>(task);
  if (task.channels == 2) return pixels_of<2>(task);
  if (task.channels == 3) return pixels_of_rgb(task);
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
