// Winograd's F(2x2, 3x3) for dense 3x3 convolutions with stride 1: 2.25 times fewer multiplications, for sums and
// differences of inputs and weights that round a little more. Its share of an op's work, beside the direct groups.
#pragma once

#include <cstdint>

#include "cpu/pack.h"
#include "cpu/steps.h"

namespace squish {

// The 4x4 transform of a 3x3 kernel, G g G^T, row by row. In double: it is done once.
void transform_weights(const double (&kernel)[9], float (&out)[16]);

// How many clusters at a pixel take as long as a block in tiles, on this many input channels. A model: 16 products for 4
// pixels, a fifth of them in tiles that hang over the edge, and the output transform.
int64_t winograd_cost(int64_t channels);
// Whether a block with this many living clusters takes less time so.
bool winograd_pays(int64_t clusters, int64_t channels);

// `pooled`: bands of one tile row, whose rows are pooled as they come.
TileGrid tile_grid(const Shape& conv_output, bool pooled);

int64_t winograd_scratch_floats(const Op& op, const BoundConv& conv, const Layout& in);

void run_winograd(const KernelTable& kernels, const Op& op, const BoundConv& conv, ConstView in,
                  MutableView out, float* scratch, Share share);

}  // namespace squish
