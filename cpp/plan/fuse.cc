#include "plan/fuse.h"

#include <utility>

namespace squish {
namespace {

// Without padding at the top and the left; at the bottom and the right the windows are clipped.
bool is_squeezenet_pool(const Window& w) { return w.is_3x3(2) && w.pad_top == 0 && w.pad_left == 0; }

class Fuser {
 public:
  Fuser(const Graph& graph, const Fusion& fusion) : graph_(graph), fusion_(fusion) {}

  std::vector<Op> run() {
    for (int k = 0; k < graph_.size(); ++k) add_layer(k);
    return std::move(ops_);
  }

 private:
  int op_of(int layer) const { return layer < 0 ? -1 : op_of_layer_[static_cast<size_t>(layer)]; }

  Op make_op(OpKind kind, int k) const {
    const LayerDescription& layer = graph_.layers()[static_cast<size_t>(k)];
    Op op;
    op.kind = kind;
    op.name = layer.name;
    op.last_layer = k;
    for (int input : layer.inputs) op.inputs.push_back(op_of(input));
    op.window = layer.window;
    op.ceil_mode = layer.ceil_mode;
    op.relu = layer.relu;
    return op;
  }

  void push(Op op) { ops_.push_back(std::move(op)); }

  // The convolution that pooling layer k can be fused into, or null.
  Op* fusable_producer(int k) {
    const LayerDescription& pool = graph_.layers()[static_cast<size_t>(k)];
    if (pool.kind == LayerKind::kMaxPool ? !is_squeezenet_pool(pool.window) : !fusion_.averages)
      return nullptr;
    const int input = pool.inputs[0];
    if (input < 0 || graph_.consumers(input).size() != 1) return nullptr;
    Op& op = ops_[static_cast<size_t>(op_of(input))];
    return op.kind == OpKind::kConv && !op.pooled && !op.averaged ? &op : nullptr;
  }

  void fuse_into(Op& op, int k) {
    const LayerDescription& layer = graph_.layers()[static_cast<size_t>(k)];
    op.name += "+" + layer.name;
    op.last_layer = k;
    (layer.kind == LayerKind::kMaxPool ? op.pooled : op.averaged) = true;
    op.window = layer.window;
    op.ceil_mode = layer.ceil_mode;
  }

  void add_fire(int k) {
    const auto& convs = graph_.layers()[static_cast<size_t>(k)].convs;
    const bool whole = !fusion_.whole_fires.empty() && fusion_.whole_fires[static_cast<size_t>(k)];
    Op expand = make_op(OpKind::kConv, k);
    if (whole) {
      expand.squeeze = &convs[kSqueeze];
    } else {
      push_squeeze(k);
      expand.name += "/expand";
      expand.inputs = {static_cast<int>(ops_.size()) - 1};
    }
    for (int e : {kExpand1x1, kExpand3x3}) {
      if (convs[static_cast<size_t>(e)].out_channels > 0)
        expand.convs.push_back(&convs[static_cast<size_t>(e)]);
    }
    push(std::move(expand));
  }

  void push_squeeze(int k) {
    Op squeeze = make_op(OpKind::kConv, k);
    squeeze.name += "/squeeze";
    squeeze.last_layer = -1;
    squeeze.convs = {&graph_.layers()[static_cast<size_t>(k)].convs[kSqueeze]};
    push(std::move(squeeze));
  }

  void add_layer(int k) {
    const LayerDescription& layer = graph_.layers()[static_cast<size_t>(k)];
    switch (layer.kind) {
      case LayerKind::kConv: {
        Op op = make_op(OpKind::kConv, k);
        op.convs = {&layer.convs[0]};
        push(std::move(op));
        break;
      }
      case LayerKind::kFire:
        add_fire(k);
        break;
      case LayerKind::kAdd:
        push(make_op(OpKind::kAdd, k));
        break;
      case LayerKind::kMaxPool:
      case LayerKind::kGlobalAveragePool:
        if (Op* producer = fusable_producer(k)) {
          fuse_into(*producer, k);
          op_of_layer_.push_back(static_cast<int>(producer - ops_.data()));
          return;
        }
        push(make_op(layer.kind == LayerKind::kMaxPool ? OpKind::kMaxPool : OpKind::kGlobalAveragePool, k));
        break;
    }
    op_of_layer_.push_back(static_cast<int>(ops_.size()) - 1);
  }

  const Graph& graph_;
  const Fusion& fusion_;
  std::vector<Op> ops_;
  std::vector<int> op_of_layer_;
};

}  // namespace

std::vector<Op> fuse(const Graph& graph, const Fusion& fusion) { return Fuser(graph, fusion).run(); }

}  // namespace squish
