// Where a lane of a warp reads its quads.
#pragma once

#include "cuda/kernels/bundles.cuh"

namespace squish {
namespace cuda {

// One of a convolution's output pixels.
struct OutputPixel {
  int image, y, x;
};

__device__ inline Tap quad_tap(const Tap* taps, int step) {
  return taps[step * kStepQuads + lane_index() % kStepQuads];
}
template <typename T>
__device__ inline Quad<T> quad_at(const T* at) {
  return *reinterpret_cast<const Quad<T>*>(at);
}

// Or zeros. Compilers load floats under a condition, and halves behind a branch, which keeps those of a step apart.
__device__ inline Quad<float> quad_if(bool there, const Quad<float>* at) {
  Quad<float> quad = {};
  if (there) quad = *at;
  return quad;
}
__device__ inline Quad<__half> quad_if(bool there, const Quad<__half>* at) {
  Quad<__half> quad;
  load_if(there, at, quad.pairs);
  return quad;
}

// Of this lane's pixels of so many eights, in images in device memory. kPadded: windows reach beyond them.
template <typename T, bool kPadded, int kEights>
struct GlobalQuads {
  const Quad<T>* quads;
  uint32_t image_quads, pixel_quads;
  uint32_t pixel[kEights];  // the quad of channel 0 under the window's origin without padding
  int y[kEights], x[kEights];
  int height, width;

  __device__ explicit GlobalQuads(const Planes<const T>& in)
      : quads(reinterpret_cast<const Quad<T>*>(in.data)),
        image_quads(static_cast<uint32_t>(in.image_stride / kQuad)),
        pixel_quads(static_cast<uint32_t>(in.step / kQuad)),
        height(in.height),
        width(in.width) {}

  __device__ void own(int eight, const OutputPixel& at, int stride_h, int stride_w) {
    y[eight] = at.y * stride_h;
    x[eight] = at.x * stride_w;
    pixel[eight] = at.image * image_quads + (y[eight] * width + x[eight]) * pixel_quads;
  }
  __device__ Tap where(const Tap* taps, int step) const { return quad_tap(taps, step); }
  __device__ Quad<T> operator()(int eight, const Tap& tap) const {
    const bool inside =
        !kPadded || (static_cast<unsigned>(y[eight] + tap.dy) < static_cast<unsigned>(height) &&
                     static_cast<unsigned>(x[eight] + tap.dx) < static_cast<unsigned>(width));
    const Quad<T>* const at = quads + (pixel[eight] + static_cast<uint32_t>(tap.offset));
    return kPadded ? quad_if(inside, at) : *at;
  }
};

// Of pixels in shared memory, zeros around the image among them.
template <typename T, int kEights>
struct SharedQuads {
  const Quad<T>* quads;
  int pixel[kEights];

  __device__ Tap where(const Tap* taps, int step) const { return quad_tap(taps, step); }
  __device__ Quad<T> operator()(int eight, const Tap& tap) const { return quads[pixel[eight] + tap.offset]; }
};

}  // namespace cuda
}  // namespace squish
