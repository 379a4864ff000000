#include "cpu/winograd.h"

#include <algorithm>
#include <limits>

namespace squish {
namespace {

constexpr int kFrequencies = 16;
constexpr int kBandTiles = 28;
// Frequencies are summed without bias and clipped to nothing: those come with the transform back.
constexpr float kNoFloor = -std::numeric_limits<float>::infinity();
constexpr float kNoBias[kMaxBlocks * kChannelBlock] = {};

// A thread's scratch, in its parts.
struct Scratch {
  float* frequencies;  // [16][input blocks][tiles][16 channels]
  float* products;     // [16][2][tiles][16 channels]
  float* row;          // [width][16 channels]: the first of a tile row's two rows, where they are pooled
  float* maxima;  // [2][blocks][width][16 channels]: the maximum of the two, of this tile row and the last
};

Scratch split(float* scratch, const BoundConv& conv, const Layout& in) {
  const int64_t tile_floats = int64_t{conv.tiles.band_tiles()} * kChannelBlock * kFrequencies;
  Scratch s{scratch, nullptr, nullptr, nullptr};
  s.products = s.frequencies + tile_floats * in.blocks();
  s.row = s.products + tile_floats * kMaxBlocks;
  s.maxima = s.row + int64_t{conv.conv_output.width} * kChannelBlock;
  return s;
}

// One convolution in tiles: load() a band of the input, then for each group multiply() and write its rows.
class TiledConv {
 public:
  TiledConv(const KernelTable& kernels, const BoundConv& conv, ConstView in, const Scratch& scratch)
      : kernels_(kernels), conv_(conv), packed_(*conv.packed), in_(in), scratch_(scratch) {}

  void load(Range tile_rows) {
    tile_rows_ = tile_rows;
    WinogradInputTask task{};
    task.input_row = in_.row_step();
    task.tiles = conv_.tiles.columns;
    task.frequency = in_.layout->blocks() * block_values();
    for (int block = 0; block < in_.layout->blocks(); ++block) {
      for (int r = tile_rows.begin; r < tile_rows.end; ++r) {
        task.input = in_.pixel(block, 2 * r - packed_.winograd_pad_top, -packed_.winograd_pad_left);
        task.output = scratch_.frequencies + block * block_values() + tile_at(r) * kChannelBlock;
        kernels_.winograd_input(task);
      }
    }
  }

  void multiply(const BlockGroup& group) {
    ConvTask task{};
    task.input_step = kChannelBlock;
    task.offsets = conv_.offsets.data() + group.columns_at;
    task.columns = group.columns;
    task.bias = kNoBias;
    task.floor = kNoFloor;
    task.output_block = block_values();
    task.rows = 1;
    task.width = tile_rows_.size() * conv_.tiles.columns;
    for (int64_t f = 0; f < kFrequencies; ++f) {
      task.input = scratch_.frequencies + f * in_.layout->blocks() * block_values();
      task.weights =
          packed_.weights.data() + group.weights_at + f * group.columns * group.blocks * kChannelBlock;
      task.output = scratch_.products + f * kMaxBlocks * block_values();
      kernels_.conv[kStep16][group.blocks - 1](task);
    }
  }

  // The rows of one tile row (two, or one at an odd edge) of the group's block b.
  void write(const BlockGroup& group, int b, int tile_row, float* output, ptrdiff_t output_row,
             bool pair_max) const {
    WinogradOutputTask task{};
    task.products = scratch_.products + b * block_values() + tile_at(tile_row) * kChannelBlock;
    task.frequency = kMaxBlocks * block_values();
    task.bias = packed_.bias.data() + int64_t{group.first_block + b} * kChannelBlock;
    task.floor = floor_for(packed_.relu);
    task.output = output;
    task.output_row = output_row;
    task.rows = rows_of(tile_row).size();
    task.width = conv_.conv_output.width;
    task.pair_max = pair_max;
    kernels_.winograd_output(task);
  }

  Range rows_of(int tile_row) const {
    return {2 * tile_row, std::min(2 * tile_row + 2, conv_.conv_output.height)};
  }

 private:
  ptrdiff_t block_values() const { return ptrdiff_t{conv_.tiles.band_tiles()} * kChannelBlock; }
  int64_t tile_at(int tile_row) const { return int64_t{tile_row - tile_rows_.begin} * conv_.tiles.columns; }

  const KernelTable& kernels_;
  const BoundConv& conv_;
  const PackedConv& packed_;
  ConstView in_;
  Scratch scratch_;
  Range tile_rows_;
};

// Bands outermost, so that one transform of the input serves all groups of a share.
void run_bands(TiledConv& tiled, const BoundConv& conv, MutableView out, Share share) {
  const auto& groups = conv.packed->winograd_groups;
  const TileGrid& tiles = conv.tiles;
  for_each_band(tiles.bands(), static_cast<int>(groups.size()), share, [&](int band, Range of_groups) {
    const Range tile_rows{band * tiles.rows_per_band, std::min((band + 1) * tiles.rows_per_band, tiles.rows)};
    tiled.load(tile_rows);
    for (int g = of_groups.begin; g < of_groups.end; ++g) {
      const BlockGroup& group = groups[static_cast<size_t>(g)];
      tiled.multiply(group);
      for (int b = 0; b < group.blocks; ++b) {
        const int block = group.first_block + b;
        clear_border(out, block,
                     {tiled.rows_of(tile_rows.begin).begin, tiled.rows_of(tile_rows.end - 1).end});
        for (int r = tile_rows.begin; r < tile_rows.end; ++r) {
          tiled.write(group, b, r, out.pixel(block, 2 * r, 0), out.row_step(), false);
        }
      }
    }
  });
}

// Pools 3x3 windows with stride 2: window row r covers the two rows of tile row r and the first of the next.
class PooledTiles {
 public:
  PooledTiles(const KernelTable& kernels, TiledConv& tiled, const Op& op, const BoundConv& conv,
              MutableView out, const Scratch& scratch)
      : kernels_(kernels),
        tiled_(tiled),
        conv_(conv),
        out_(out),
        scratch_(scratch),
        pool_(pool_task<PoolTask>(op, conv.conv_output.width, *out.layout)) {}

  // Tile by tile row, so that one transform of the input serves all groups.
  void run(Range of_groups, Range pooled_rows) {
    const int tile_rows = conv_.tiles.rows, last = std::min(pooled_rows.end, tile_rows - 1);
    for (int r = pooled_rows.begin; r <= last; ++r) {
      tiled_.load({r, r + 1});
      for (int g = of_groups.begin; g < of_groups.end; ++g) {
        const BlockGroup& group = conv_.packed->winograd_groups[static_cast<size_t>(g)];
        tiled_.multiply(group);
        for (int b = 0; b < group.blocks; ++b) {
          const int block = group.first_block + b;
          float* const upper = maximum(r, block);
          tiled_.write(group, b, r, scratch_.row, upper - scratch_.row, true);
          if (r > pooled_rows.begin) pool_row(r - 1, block, 2);
          // A last window that is clipped at the bottom has no third row.
          if (r < pooled_rows.end && r + 1 == tile_rows) pool_row(r, block, 1);
          if (r == pooled_rows.begin) clear_border(out_, block, pooled_rows);
        }
      }
    }
  }

 private:
  float* maximum(int tile_row, int block) const {
    const int64_t row_values = int64_t{conv_.conv_output.width} * kChannelBlock;
    return scratch_.maxima + (tile_row % 2 * conv_.packed->blocks + block) * row_values;
  }

  void pool_row(int r, int block, int rows) {
    pool_.input = maximum(r, block);
    pool_.input_row = scratch_.row - pool_.input;
    pool_.rows = rows;
    pool_.output = out_.pixel(block, r, 0);
    kernels_.max_pool(pool_);
  }

  const KernelTable& kernels_;
  TiledConv& tiled_;
  const BoundConv& conv_;
  MutableView out_;
  Scratch scratch_;
  PoolTask pool_;
};

// Cuts groups x rows into equal shares. Groups that fall whole into one share stay together; where one is cut, both
// sides transform its input, and the row at the cut is computed twice.
void run_pooled(PooledTiles& pooled, int groups, int rows, Share share) {
  Range whole{groups, groups};
  for_each_band(groups, rows, share, [&](int group, Range of_rows) {
    if (of_rows.size() < rows) return pooled.run({group, group + 1}, of_rows);
    whole = {std::min(whole.begin, group), group + 1};
  });
  if (whole.begin < groups) pooled.run(whole, {0, rows});
}

}  // namespace

void transform_weights(const double (&kernel)[9], float (&out)[16]) {
  constexpr double kG[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  for (int a = 0; a < 4; ++a) {
    for (int b = 0; b < 4; ++b) {
      double sum = 0;
      for (int y = 0; y < 3; ++y) {
        for (int x = 0; x < 3; ++x) sum += kG[a][y] * kG[b][x] * kernel[3 * y + x];
      }
      out[4 * a + b] = static_cast<float>(sum);
    }
  }
}

int64_t winograd_cost(int64_t channels) { return 5 * channels + 16; }

bool winograd_pays(int64_t clusters, int64_t channels) { return winograd_cost(channels) < clusters; }

TileGrid tile_grid(const Shape& conv_output, bool pooled) {
  TileGrid grid;
  grid.columns = (conv_output.width + 1) / 2;
  grid.rows = (conv_output.height + 1) / 2;
  const int rows = pooled ? 1 : std::clamp(kBandTiles / grid.columns, 1, grid.rows);
  // Bands as equal as they can be.
  const int bands = (grid.rows + rows - 1) / rows;
  grid.rows_per_band = (grid.rows + bands - 1) / bands;
  return grid;
}

int64_t winograd_scratch_floats(const Op& op, const BoundConv& conv, const Layout& in) {
  if (conv.packed->winograd_groups.empty()) return 0;
  const int64_t tile_floats = int64_t{conv.tiles.band_tiles()} * kChannelBlock * kFrequencies;
  const int64_t row_values = int64_t{conv.conv_output.width} * kChannelBlock;
  const int64_t rows = op.pooled ? 1 + 2 * conv.packed->blocks : 0;
  return tile_floats * (in.blocks() + kMaxBlocks) + rows * row_values;
}

void run_winograd(const KernelTable& kernels, const Op& op, const BoundConv& conv, ConstView in,
                  MutableView out, float* scratch, Share share) {
  if (conv.packed->winograd_groups.empty()) return;
  const Scratch parts = split(scratch, conv, *in.layout);
  TiledConv tiled(kernels, conv, in, parts);
  if (op.pooled) {
    PooledTiles pooled(kernels, tiled, op, conv, out, parts);
    run_pooled(pooled, static_cast<int>(conv.packed->winograd_groups.size()), out.layout->height, share);
  } else {
    run_bands(tiled, conv, out, share);
  }
}

}  // namespace squish
