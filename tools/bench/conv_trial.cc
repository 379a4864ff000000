#include "bench/conv_trial.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "cpu/explain.h"
#include "cpu/winograd.h"
#include "format/text.h"
#include "memory_size.h"
#include "plan/plan.h"
#include "reference/ops.h"
#include "squish/error.h"

namespace squish::bench {
namespace {

// mt19937's numbers are the same everywhere; those of the standard's distributions are not.
class Random {
 public:
  double below_one() { return static_cast<uint32_t>(bits_()) * 0x1p-32; }
  float value() { return static_cast<float>(2 * below_one() - 1); }

 private:
  std::mt19937 bits_{0};
};

Window window_of(const ConvShape& s) {
  return {s.kernel, s.kernel, s.stride, s.stride, s.pad, s.pad, s.pad, s.pad};
}

ConvSource random_conv(const ConvShape& shape, double density, Random& random) {
  ConvSource source;
  source.out_channels = shape.out_channels;
  source.in_channels = shape.in_channels;
  source.window = window_of(shape);
  source.relu = true;
  const size_t columns =
      static_cast<size_t>(shape.in_channels) * static_cast<size_t>(shape.kernel * shape.kernel);
  std::vector<bool> live(columns);
  for (int o = 0; o < shape.out_channels; ++o) {
    if (o % kClusterRows == 0)
      std::generate(live.begin(), live.end(), [&] { return random.below_one() < density; });
    for (size_t c = 0; c < columns; ++c) source.weight.push_back(live[c] ? random.value() : 0);
    source.bias.push_back(random.value());
  }
  return source;
}

reference::Activation random_input(const ConvShape& shape, Random& random) {
  auto input = reference::make_activation({shape.in_channels, shape.height, shape.width}, true);
  std::generate(input.value.begin(), input.value.end(), [&] { return random.value(); });
  return input;
}

// The net's own input, of few channels, lies as the user has it.
Layout input_layout(const ConvShape& s) {
  const bool planar = s.in_channels <= kMaxInputChannels;
  return {{s.in_channels},
          s.height,
          s.width,
          border_of(window_of(s), planar),
          planar ? kPlaneBlock : kChannelBlock};
}

Op op_of(const ConvProblem& problem, bool reads_net_input) {
  Op op;
  op.kind = OpKind::kConv;
  op.name = problem.shape().name;
  op.inputs = {reads_net_input ? -1 : 0};
  op.convs = {&problem.conv()};
  return op;
}

}  // namespace

ConvProblem::ConvProblem(const ConvShape& shape, double density) : shape_(shape) {
  Random random;
  encoded_ = encode(random_conv(shape, density, random));
  input_ = random_input(shape, random);
  wanted_ = reference::conv(input_, encoded_.description, false);
  if (encoded_.description.window.is_3x3(1))
    wanted_in_tiles_ = reference::conv(input_, encoded_.description, true);
}

ConvTrial::ConvTrial(const ConvProblem& problem, const KernelTable& kernels, const PackOptions& packing)
    : problem_(problem),
      kernels_(kernels),
      in_(input_layout(problem.shape())),
      out_{{problem.shape().out_channels},
           problem.shape().output_height(),
           problem.shape().output_width(),
           {}} {
  op_ = op_of(problem, in_.block == kPlaneBlock);
  packed_ = pack(op_, packing);
  bound_.packed = &packed_;
  bound_.conv_output = problem.wanted(false).shape;
  bound_.tiles = tile_grid(bound_.conv_output, false);
  bound_.offsets = column_offsets(packed_, in_, bound_.tiles.band_tiles());
  input_ = AlignedArray<float>(memory_size<float>(in_.values()));
  output_ = AlignedArray<float>(memory_size<float>(out_.values()));
  scratch_ = AlignedArray<float>(memory_size<float>(scratch_floats(op_, bound_, in_)));
  load_input();
  run();
  check();
}

void ConvTrial::load_input() {
  const reference::Activation& image = problem_.input();
  for (int c = 0; c < image.shape.channels; ++c) {
    float* plane = input_.data() + in_.origin() + in_.channel_offset(c);
    for (int y = 0; y < image.shape.height; ++y) {
      for (int x = 0; x < image.shape.width; ++x) {
        plane[y * in_.row_values() + int64_t{x} * in_.channel_step()] =
            static_cast<float>(image.value[image.at(c, y, x)]);
      }
    }
  }
}

void ConvTrial::run() {
  run_conv(kernels_, op_, bound_, {&in_, input_.data()}, {&out_, output_.data()}, scratch_.data(), {0, 1});
}

void ConvTrial::check() const {
  const reference::Activation& wanted = problem_.wanted(has_tiles());
  for (int c = 0; c < wanted.shape.channels; ++c) {
    const float* plane = output_.data() + out_.channel_offset(c);
    for (int y = 0; y < wanted.shape.height; ++y) {
      for (int x = 0; x < wanted.shape.width; ++x) {
        const float got = plane[y * out_.row_values() + int64_t{x} * out_.channel_step()];
        const size_t at = wanted.at(c, y, x);
        const double bound = reference::kLambda * std::sqrt(wanted.variance[at]);
        if (std::abs(got - wanted.value[at]) <= bound) continue;  // NaN is not
        throw Error(concat("wrong result: '", op_.name, "' on ", kernels_.isa, " at channel ", c, ", row ", y,
                           ", column ", x, ": got ", got, ", wanted ", wanted.value[at], " within ", bound));
      }
    }
  }
}

int64_t ConvTrial::macs_run() const { return conv_macs_run(packed_, bound_.conv_output); }

bool ConvTrial::has_pairs() const {
  return std::any_of(packed_.direct_groups.begin(), packed_.direct_groups.end(),
                     [](const BlockGroup& group) { return group.blocks == 2; });
}

}  // namespace squish::bench
