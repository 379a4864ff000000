// The net's input to quads of bytes: the channels of a pixel side by side, as integer dot products read them.
#pragma once

#include "cpu/integer_kernels.h"
#include "cpu/isa/unroll-inl.h"

namespace squish {
namespace {

// Any number of pixels, plainly.
void quads_plainly(const QuadTask& task, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t x = begin; x < end; ++x) {
    for (int c = 0; c < kClusterInputs; ++c) {
      float value = 0;
      if (c < task.channels) {
        value = task.values != nullptr
                    ? task.values[c * task.plane + x]
                    : static_cast<float>(task.pixels[x * task.channels + c]) * task.scale[c] + task.shift[c];
        value = value * task.inverse + task.zero;
        value = value > 0 ? value : 0;
        value = value < 255 ? value : 255;
      }
      const float rounded = value + kNoFraction;
      const int activation = static_cast<int>(rounded - kNoFraction);
      task.output[kClusterInputs * x + c] = static_cast<uint8_t>(activation - kActivationOffset);
    }
  }
}

// 16 pixels a turn; the last 16 of a row may be some of the 16 before them again.
template <bool kFromPixels>
void quads_of_rgb(const QuadTask& task) {
  constexpr int kPixels = kVecs * kLanes, kColours = 3;
  const Vec inverse = broadcast(&task.inverse), zero = broadcast(&task.zero);
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
      });
    }
    unroll<kVecs>([&](auto v) SQUISH_LAMBDA_INLINE {
      const auto rounded = [&](int c) SQUISH_LAMBDA_INLINE {
        return round_to_byte(add(mul(planes[c][v], inverse), zero));
      };
      store_quads(task.output + kClusterInputs * (first + v * kLanes), rounded(0), rounded(1), rounded(2));
    });
  }
}

void quads(const QuadTask& task) {
  if (task.channels != 3 || task.width < kVecs * kLanes) return quads_plainly(task, 0, task.width);
  if (task.values != nullptr) return quads_of_rgb<false>(task);
  quads_of_rgb<true>(task);
}

}  // namespace
}  // namespace squish
