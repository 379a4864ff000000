#include "cpu/forecast.h"

#include <algorithm>

#include "cpu/dispatch.h"
#include "cpu/winograd.h"
#include "format/weights.h"
#include "plan/layout.h"
#include "plan/ranked_bits.h"
#include "squish/error.h"

namespace squish {
namespace {

// Clusters of 16x4, as QuadClusters has them where channels lie in their order.
int64_t count_live_quads(const ConvDescription& conv) {
  const int64_t area = conv.kernel_area(), quads = (conv.in_channels + kClusterInputs - 1) / kClusterInputs;
  RankedBits live(blocks_of(conv.out_channels) * quads * area);
  for_each_integer_weight(conv, [&](const IntegerWeight& w) {
    const int64_t block_and_quad = w.o / kClusterOutputs * quads + w.i / kClusterInputs;
    const int64_t position = int64_t{w.y} * conv.window.kernel_w + w.x;
    if (w.value != 0) live.insert(static_cast<size_t>(block_and_quad * area + position));
  });
  live.count();
  return static_cast<int64_t>(live.size());
}

// Clusters of 16x1 at a pixel, or as long as their outputs take in tiles.
int64_t float_clusters(const ConvDescription& conv, bool winograd) {
  const int64_t clusters = count_live_clusters(conv);
  if (!winograd || !conv.window.is_3x3(1)) return clusters;
  return std::min(clusters, blocks_of(conv.out_channels) * winograd_cost(conv.in_channels));
}

// Where the size that a net says of itself is none that its layers can take, pixels count alike in all of them.
std::vector<Shape> output_shapes(const Graph& graph) {
  const InputDescription& input = graph.net().input;
  try {
    return graph.shapes(input.height, input.width);
  } catch (const InvalidArgument&) {
    std::vector<Shape> alike(static_cast<size_t>(graph.size()));
    for (int k = 0; k < graph.size(); ++k) alike[static_cast<size_t>(k)] = {graph.channels(k), 1, 1};
    return alike;
  }
}

}  // namespace

bool integers_are_faster(const Graph& graph, const SessionOptions& options) {
  const KernelTable& floats = choose_kernels(options.isa);
  const IntegerKernels& integers = choose_integer_kernels(floats);
  const std::vector<Shape> outputs = output_shapes(graph);
  double float_time = 0, integer_time = 0;
  for (size_t k = 0; k < outputs.size(); ++k) {
    const auto pixels = static_cast<double>(int64_t{outputs[k].height} * outputs[k].width);
    for (const ConvDescription& conv : graph.layers()[k].convs) {
      if (conv.out_channels == 0) continue;  // an expand that a Fire has not
      const double cluster =
          conv.type == WeightType::kI4 ? integers.costs.cluster_of_int4 : integers.costs.cluster;
      float_time +=
          pixels * floats.cluster_cost * static_cast<double>(float_clusters(conv, options.winograd));
      integer_time += pixels * (cluster * static_cast<double>(count_live_quads(conv)) +
                                integers.costs.result * blocks_of(conv.out_channels));
    }
  }
  return integer_time <= float_time;
}

}  // namespace squish
