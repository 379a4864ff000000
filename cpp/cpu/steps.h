// One step of a plan on one image: from views of buffers to calls of kernels. Called by the CPU backend on each of
// its threads with that thread's share of the work.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/kernel_table.h"
#include "cpu/pack.h"
#include "cpu/view.h"
#include "normalisation.h"
#include "plan/plan.h"
#include "squish/session.h"

namespace squish {

// The 2x2 tiles of an image that Winograd's algorithm (winograd.h) computes. Those of a band of tile rows are
// transformed together: few enough that their frequencies stay in L2, enough that each frequency's 1x1 convolution has
// full register tiles.
struct TileGrid {
  int columns = 0, rows = 0, rows_per_band = 0;
  int bands() const { return (rows + rows_per_band - 1) / rows_per_band; }
  int band_tiles() const { return columns * rows_per_band; }
};

// A convolution op bound to one image size.
struct BoundConv {
  const PackedConv* packed = nullptr;
  std::vector<int32_t> offsets;
  Shape conv_output;  // before pooling
  TileGrid tiles;     // of the groups in tiles
};

// Floats of scratch a thread needs for the op: rows that are pooled or averaged while they are in cache, or a band's
// tiles in Winograd's frequencies.
int64_t scratch_floats(const Op& op, const BoundConv& conv, const Layout& in);

void run_conv(const KernelTable& kernels, const Op& op, const BoundConv& conv, ConstView in, MutableView out,
              float* scratch, Share share);
void run_max_pool(const KernelTable& kernels, const Op& op, ConstView in, MutableView out, Share share);
void run_average(const KernelTable& kernels, ConstView in, MutableView out, Share share);
void run_add(const KernelTable& kernels, const Op& op, ConstView a, ConstView b, MutableView out,
             Share share);

// A kernel's lower bound of its results: ReLU or none.
inline float floor_for(bool relu) { return relu ? 0.0f : -std::numeric_limits<float>::infinity(); }

// The parts of a pool's task that are the same for each row.
template <typename Task>
Task pool_task(const Op& op, int width, const Layout& out) {
  Task task{};
  task.width = width;
  task.kernel_w = op.window.kernel_w;
  task.stride_w = op.window.stride_w;
  task.pad_left = op.window.pad_left;
  task.windows = out.width;
  return task;
}

// The rows under a row of a pool's windows.
inline Range rows_under(const Op& op, int windows_row, int height) {
  const int top = windows_row * op.window.stride_h - op.window.pad_top;
  return {std::max(top, 0), std::min(top + op.window.kernel_h, height)};
}

// One image of the caller's into the net's input buffer.
void run_input(const KernelTable& kernels, const ImageBatch& batch, const uint8_t* image,
               const Normalisation& norm, MutableView out, Share share);
// The net's last buffer into the caller's output, [C][H][W].
void run_output(ConstView in, float* output);

}  // namespace squish
