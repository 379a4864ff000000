#include "plan/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/memory.h"
#include "squish/error.h"
#include "support/net_builder.h"
#include "support/random_net.h"
#include "support/throws.h"

namespace squish {
namespace {

using testing::NetBuilder;
using testing::square;
using testing::throws;

struct Planned {
  Planned(const Graph& graph, int height, int width)
      : ops(fuse(graph)), plan(make_plan(graph, ops, height, width)) {}
  std::vector<Op> ops;
  Plan plan;
};

Plan plan_of(NetBuilder& net, int height, int width) {
  const Graph graph(net.net());
  return Planned(graph, height, width).plan;
}

// The last step that reads a buffer. The net's output is read behind the last step.
int last_use(const Plan& plan, int buffer) {
  const bool is_output = buffer + 1 == static_cast<int>(plan.buffers.size());
  int last = is_output ? static_cast<int>(plan.steps.size()) : -1;
  for (size_t k = 0; k < plan.steps.size(); ++k) {
    const auto& inputs = plan.steps[k].inputs;
    if (std::count(inputs.begin(), inputs.end(), buffer) > 0) last = std::max(last, static_cast<int>(k));
  }
  return last;
}

// Buffer b is written by step b - 1.
bool live_together(const Plan& plan, int a, int b) {
  return a - 1 <= last_use(plan, b) && b - 1 <= last_use(plan, a);
}

TEST(Plan, NoBufferIsOverwrittenBeforeItsLastReader) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const testing::RandomNet net = testing::random_net(seed);
    const Plan plan = Planned(net.model->graph(), net.height, net.width).plan;
    const auto begin = [&](int b) { return plan.buffers[static_cast<size_t>(b)].offset; };
    const auto end = [&](int b) { return begin(b) + plan.buffers[static_cast<size_t>(b)].layout.values(); };
    for (int a = 0; a < static_cast<int>(plan.buffers.size()); ++a) {
      EXPECT_EQ(begin(a) % kArenaAlignment, 0) << "seed " << seed;
      EXPECT_LE(end(a), plan.arena_floats) << "seed " << seed;
      for (int b = 0; b < a; ++b) {
        if (!live_together(plan, a, b)) continue;
        EXPECT_TRUE(end(a) <= begin(b) || end(b) <= begin(a))
            << "seed " << seed << ": buffers " << b << " and " << a;
      }
    }
  }
}

TEST(Plan, PlanarActivationsHaveNoBorderAndNoPadding) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const testing::RandomNet net = testing::random_net(seed);
    const Graph& graph = net.model->graph();
    const std::vector<bool> whole_fires(static_cast<size_t>(graph.size()), seed % 2 == 0);
    const auto ops = fuse(graph, {whole_fires});
    const Plan plan = make_plan(graph, ops, net.height, net.width, ActivationOrder::kPlanar);
    for (const PlannedBuffer& buffer : plan.buffers) {
      const Layout& layout = buffer.layout;
      EXPECT_EQ(layout.values(), int64_t{layout.channels()} * layout.height * layout.width);
      EXPECT_EQ(layout.channel_offset(layout.channels() - 1),
                int64_t{layout.channels() - 1} * layout.height * layout.width);
    }
    EXPECT_TRUE(plan.reads_input_in_place);
    const Plan blocked = make_plan(graph, fuse(graph), net.height, net.width);
    EXPECT_EQ(plan.steps.back().output_shape, blocked.steps.back().output_shape);
    const auto all_macs = [](const std::vector<Op>& of, const Plan& p) {
      int64_t macs = 0;
      for (size_t k = 0; k < of.size(); ++k) macs += count_macs(of[k], p.steps[k]);
      return macs;
    };
    EXPECT_EQ(all_macs(ops, plan), all_macs(fuse(graph), blocked)) << "a whole Fire's squeeze counts";
  }
}

TEST(Plan, ShapesAreTheGraphs) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const testing::RandomNet net = testing::random_net(seed);
    const Planned planned(net.model->graph(), net.height, net.width);
    const auto shapes = net.model->graph().shapes(net.height, net.width);
    for (size_t k = 0; k < planned.ops.size(); ++k) {
      const int layer = planned.ops[k].last_layer;
      if (layer < 0) continue;
      EXPECT_EQ(planned.plan.steps[k].output_shape, shapes[static_cast<size_t>(layer)]) << "seed " << seed;
      const Layout& layout = planned.plan.buffers[k + 1].layout;
      EXPECT_EQ((Shape{layout.channels(), layout.height, layout.width}), shapes[static_cast<size_t>(layer)]);
    }
  }
}

// Beside its border an activation lies as on the CPU.
TEST(Plan, BorderlessActivationsAreBlockedAllTheSame) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const testing::RandomNet net = testing::random_net(seed);
    const Graph& graph = net.model->graph();
    const auto ops = fuse(graph);
    const Plan borderless = make_plan(graph, ops, net.height, net.width, ActivationOrder::kBorderless);
    const Plan blocked = make_plan(graph, ops, net.height, net.width);
    for (size_t b = 0; b < blocked.buffers.size(); ++b) {
      const Layout &layout = borderless.buffers[b].layout, &other = blocked.buffers[b].layout;
      EXPECT_TRUE(layout.same_channels(other)) << "seed " << seed << ", buffer " << b;
      EXPECT_EQ(layout.values(),
                int64_t{layout.blocks()} * layout.channel_step() * layout.height * layout.width);
    }
  }
}

TEST(Plan, ChannelsLieAlikeInImagesOfEverySize) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const testing::RandomNet net = testing::random_net(seed);
    const Graph& graph = net.model->graph();
    const auto ops = fuse(graph);
    for (ActivationOrder order :
         {ActivationOrder::kBlocked, ActivationOrder::kBorderless, ActivationOrder::kPlanar}) {
      const std::vector<Layout> layouts = channel_layouts(graph, ops, order);
      const Plan plan = make_plan(graph, ops, net.height, net.width, order);
      ASSERT_EQ(layouts.size(), plan.buffers.size());
      for (size_t b = 0; b < layouts.size(); ++b) {
        EXPECT_TRUE(layouts[b].same_channels(plan.buffers[b].layout)) << "seed " << seed << ", buffer " << b;
      }
    }
  }
}

// Every pixel that a convolution's windows touch, and that tiles of 2x2 outputs touch, is in the buffer.
TEST(Plan, BordersHoldTheWindowsOfAllReaders) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const testing::RandomNet net = testing::random_net(seed);
    const Planned planned(net.model->graph(), net.height, net.width);
    for (size_t k = 0; k < planned.ops.size(); ++k) {
      const Step& step = planned.plan.steps[k];
      const Layout& in = planned.plan.buffers[static_cast<size_t>(step.inputs[0])].layout;
      for (const ConvDescription* conv : planned.ops[k].convs) {
        const Window& w = conv->window;
        EXPECT_GE(in.border.top, w.pad_top);
        EXPECT_GE(in.border.left, w.pad_left);
        const bool in_tiles = w.kernel_h == 3 && w.kernel_w == 3 && w.stride_h == 1 && w.stride_w == 1 &&
                              planned.ops[k].inputs[0] >= 0;
        const int even = in_tiles ? 1 : 0;
        const int rows = step.conv_output.height + even * step.conv_output.height % 2;
        const int columns = step.conv_output.width + even * step.conv_output.width % 2;
        EXPECT_GE(in.height + in.border.bottom, (rows - 1) * w.stride_h - w.pad_top + w.kernel_h) << seed;
        EXPECT_GE(in.width + in.border.right, (columns - 1) * w.stride_w - w.pad_left + w.kernel_w) << seed;
      }
    }
  }
}

TEST(Plan, ReadsTheCallersImageWhereNothingMustBeAdded) {
  NetBuilder bare(1, 3), padded(1, 3), pooled(1, 3), added(1, 3);
  bare.conv(-1, 8, square(3, 2));
  padded.conv(-1, 8, square(3, 2, 1));
  pooled.max_pool(-1, square(3, 2));
  added.add(added.conv(-1, 3, square(1)), -1);
  EXPECT_TRUE(plan_of(bare, 9, 9).reads_input_in_place);
  EXPECT_FALSE(plan_of(padded, 9, 9).reads_input_in_place) << "wants a border";
  EXPECT_FALSE(plan_of(pooled, 9, 9).reads_input_in_place) << "wants blocks";
  EXPECT_FALSE(plan_of(added, 9, 9).reads_input_in_place) << "wants blocks";
  EXPECT_EQ(plan_of(padded, 9, 9).buffers[0].layout.block, kPlaneBlock);
  EXPECT_EQ(plan_of(added, 9, 9).buffers[0].layout.block, kChannelBlock);
}

TEST(Plan, FiresOutputHasASegmentAnExpand) {
  NetBuilder net(1, 3);
  net.max_pool(net.fire(-1, {4, 17, 3}), square(2, 2));
  const Plan plan = plan_of(net, 8, 8);
  EXPECT_EQ(plan.buffers[2].layout.segments, (std::vector<int>{17, 3}));
  EXPECT_EQ(plan.buffers[3].layout.segments, (std::vector<int>{17, 3})) << "a pool keeps them";
}

TEST(Plan, CountsMultiplyAdds) {
  NetBuilder net(1, 3);
  net.max_pool(net.conv(-1, 10, square(3, 2)), square(3, 2));
  net.fire(1, {4, 5, 6});
  const Graph graph(net.net());
  const Planned planned(graph, 21, 25);  // conv0: 10x12, pool1: 4x5
  EXPECT_EQ(count_macs(planned.ops[0], planned.plan.steps[0]), 10 * 12 * 10 * 3 * 9) << "before the pool";
  EXPECT_EQ(count_macs(planned.ops[1], planned.plan.steps[1]), 4 * 5 * 4 * 10);
  EXPECT_EQ(count_macs(planned.ops[2], planned.plan.steps[2]), 4 * 5 * (5 * 4 + 6 * 4 * 9));
}

TEST(Plan, RejectsActivationsBeyond32Bits) {
  NetBuilder net(1, 3);
  net.conv(-1, 600, square(1));
  EXPECT_TRUE(throws<InvalidArgument>([&] { plan_of(net, 1 << 20, 1 << 20); }, "at most 2^31 - 1"));
  // 600 channels are 608 with their padding.
  EXPECT_TRUE(
      throws<InvalidArgument>([&] { plan_of(net, 1880, 1880); },
                              "image: got 1880x1880 pixels: an activation would need 2148915200 values"));
  EXPECT_GT(plan_of(net, 1879, 1879).arena_floats, int64_t{1} << 31) << "planned, nothing allocated";
}

// As many layers as the format admits, each read by an addition far behind it: all buffers live together.
TEST(Plan, HoldsTheLargestNet) {
  NetBuilder net(1, 1);
  net.max_pool(-1, square(1));
  while (net.last() + 1 < kMaxLayers / 2) net.max_pool(net.last(), square(1));
  for (int k = kMaxLayers / 2 - 2; net.last() + 1 < kMaxLayers; --k) net.add(net.last(), std::max(k, 0));
  const Plan plan = plan_of(net, 2, 2);
  EXPECT_EQ(plan.steps.size(), size_t{kMaxLayers});
  EXPECT_EQ(plan.arena_floats / (kChannelBlock * 4), kMaxLayers / 2 + 1);
}

TEST(Plan, RejectsSizesThatTheNetDoesNotAdmit) {
  NetBuilder net(1, 3);
  net.conv(-1, 8, square(3));
  EXPECT_TRUE(throws<InvalidArgument>([&] { plan_of(net, 2, 9); }, "too small for the net"));
}

}  // namespace
}  // namespace squish
