// The net's input to quads of bytes: the channels of a pixel side by side, as integer dot products read them.
#pragma once

#include "cpu/integer_kernels.h"
#include "cpu/isa/unroll-inl.h"

namespace squish {
namespace {

// Any number of pixels, plainly.
bool quads_plainly(const QuadTask& task) {
  bool finite = true;
  for (ptrdiff_t x = 0; x < task.width; ++x) {
    for (int c = 0; c < kClusterInputs; ++c) {
      float value = 0;
      if (c < task.channels) {
        value = task.values != nullptr
                    ? task.values[c * task.plane + x]
                    : static_cast<float>(task.pixels[x * task.channels + c]) * task.scale[c] + task.shift[c];
        finite &= value * 0 == 0;
        value = value * task.inverse + task.zero;
        value = value > 0 ? value : 0;
        value = value < 255 ? value : 255;
      }
      const float rounded = value + kNoFraction;
      const int activation = static_cast<int>(rounded - kNoFraction);
      task.output[kClusterInputs * x + c] = static_cast<uint8_t>(activation - kActivationOffset);
    }
  }
  return finite;
}

// 16 pixels a turn; the last 16 of a row may be some of the 16 before them again.
template <bool kFromPixels>
bool quads_of_rgb(const QuadTask& task) {
  constexpr int kPixels = kVecs * kLanes, kColours = 3;
  const Vec inverse = broadcast(&task.inverse), zero = broadcast(&task.zero);
  // Nought times a finite value is nought, and so is their sum; of others it is NaN.
  const float nought = 0;
  Vec noughts[kColours];
  for (Vec& n : noughts) n = broadcast(&nought);
  const ptrdiff_t last = task.width - kPixels;
  for (ptrdiff_t x = 0; x < task.width; x += kPixels) {
    const ptrdiff_t first = x < last ? x : last;
    Vec planes[kColours][kVecs];
    if constexpr (kFromPixels) {
      load_rgb(task.pixels + kColours * first, planes);
      unroll<kColours * kVecs>([&](auto i) SQUISH_LAMBDA_INLINE {
        Vec& value = planes[i / kVecs][i % kVecs];
        value = add(mul(value, broadcast(task.scale + i / kVecs)), broadcast(task.shift + i / kVecs));
      });
    } else {
      unroll<kColours * kVecs>([&](auto i) SQUISH_LAMBDA_INLINE {
        planes[i / kVecs][i % kVecs] =
            load(task.values + (i / kVecs) * task.plane + first + (i % kVecs) * kLanes);
        noughts[i / kVecs] = mul_add(planes[i / kVecs][i % kVecs], broadcast(&nought), noughts[i / kVecs]);
      });
    }
    unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE {
      const auto quantised = [&](int c)
                                 SQUISH_LAMBDA_INLINE { return add(mul(planes[c][v], inverse), zero); };
      store_quads(task.output + kClusterInputs * (first + v * kLanes), quantised(0), quantised(1),
                  quantised(2));
    });
  }
  for (int i = 1; i < kColours; ++i) noughts[0] = add(noughts[0], noughts[i]);
  uint32_t lanes[kLanes], bits = 0;
  static_assert(sizeof lanes == sizeof(Vec), "");
  __builtin_memcpy(lanes, &noughts[0], sizeof lanes);
  for (uint32_t lane : lanes) bits |= lane;
  return bits << 1 == 0;  // but for signs
}

bool quads(const QuadTask& task) {
  if (task.channels != 3 || task.width < kVecs * kLanes) return quads_plainly(task);
  return task.values != nullptr ? quads_of_rgb<false>(task) : quads_of_rgb<true>(task);
}

}  // namespace
}  // namespace squish
