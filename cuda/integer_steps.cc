#include "cuda/integer_steps.h"

#include <algorithm>
#include <limits>

#include "cuda/divider.h"

namespace squish::cuda {
namespace {

Held held_as(const Quantisation& q) {
  if (!q.is_bytes()) return {0, 0, 0};
  return {q.scale, static_cast<float>(1 / double{q.scale}), q.zero};
}

HeldPlanes<const void> constant(const HeldPlanes<void>& planes) {
  return {planes.data,  planes.image_quads, planes.quads, planes.height,
          planes.width, planes.segments,    planes.held};
}

// One step, bound to the ends of one run.
class IntegerStepLauncher {
 public:
  IntegerStepLauncher(const IntegerRun& run, Stream stream)
      : run_(run), kernels_(run.runtime.integer_kernels()), plan_(run.blueprint.plan), stream_(stream) {}

  void launch(size_t step) const {
    if (step == 0) return add_input();
    step <= run_.blueprint.ops.size() ? add_op(step - 1) : add_results();
  }

 private:
  int images() const { return static_cast<int>(run_.blueprint.images); }

  HeldPlanes<void> buffer(int index) const {
    const PlannedBuffer& buffer = plan_.buffers[static_cast<size_t>(index)];
    const Layout& layout = buffer.layout;
    const int64_t at = buffer.offset * run_.blueprint.images * value_bytes(StorageType::kI8);
    return {run_.arena.activations + at,
            layout.values() / kQuad,
            layout.blocks(),
            layout.height,
            layout.width,
            {layout.segments.front(), layout.channels()},
            held_as(buffer.quantisation)};
  }
  HeldPlanes<const void> input_of(size_t k, size_t i = 0) const {
    return constant(buffer(plan_.steps[k].inputs[i]));
  }
  HeldPlanes<void> output_of(size_t k) const { return buffer(plan_.steps[k].output); }
  // The caller's, where the op writes them.
  float* results_of(size_t k) const {
    const bool writes = k + 1 == run_.blueprint.ops.size() && !run_.blueprint.writes_results();
    return writes ? run_.ends.output : nullptr;
  }

  void add_input() const {
    IntegerInputTask task{};
    if (run_.ends.format == PixelFormat::kU8Nhwc) {
      task.pixels = static_cast<const uint8_t*>(run_.ends.images);
      std::copy(run_.norm.scale.begin(), run_.norm.scale.end(), task.scale);
      std::copy(run_.norm.shift.begin(), run_.norm.shift.end(), task.shift);
    } else {
      task.floats = static_cast<const float*>(run_.ends.images);
    }
    task.out = buffer(0);
    task.images = images();
    task.not_finite = run_.ends.not_finite;
    kernels_.read_input(task, stream_);
  }

  void add_results() const {
    const HeldPlanes<void> last = buffer(plan_.steps.back().output);
    const Planes<const float> in{static_cast<const float*>(last.data),
                                 last.image_quads * kQuad,
                                 last.quads * kQuad,
                                 last.height,
                                 last.width,
                                 kQuad};
    run_.runtime.kernels().write_floats({in, run_.ends.output, images(), last.segments}, stream_);
  }

  void add_op(size_t k) const {
    const Op& op = run_.blueprint.ops[k];
    switch (op.kind) {
      case OpKind::kConv:
        return add_conv(k);
      case OpKind::kMaxPool: {
        const Window& w = op.window;
        return kernels_.max_pool({input_of(k), output_of(k), images(), w.kernel_h, w.kernel_w, w.stride_h,
                                  w.stride_w, w.pad_top, w.pad_left},
                                 stream_);
      }
      case OpKind::kGlobalAveragePool:
        return add_average(k);
      case OpKind::kAdd:
        break;
    }
    const float floor = op.relu ? 0 : -std::numeric_limits<float>::infinity();
    kernels_.add({input_of(k, 0), input_of(k, 1), output_of(k), images(), floor}, stream_);
  }

  void add_average(size_t k) const {
    const HeldPlanes<const void> in = input_of(k);
    const float share = 1.0f / (static_cast<float>(in.height) * static_cast<float>(in.width));
    kernels_.average({in, output_of(k), images(), share, results_of(k)}, stream_);
  }

  void add_conv(size_t k) const {
    const Op& op = run_.blueprint.ops[k];
    const OpChoice& choice = run_.blueprint.choices[k];
    const HeldPlanes<const void> in = input_of(k);
    IntegerConvTask task{};
    run_.weights.fill(op.convs[0], run_.taps.convs(k), task);
    task.in = {static_cast<const ByteQuad*>(in.data), in.image_quads, in.quads, in.height, in.width, 1};
    task.out = output_of(k);
    task.results = results_of(k);
    task.images = images();
    task.stride_h = op.convs[0]->window.stride_h;
    task.stride_w = op.convs[0]->window.stride_w;
    task.conv_height = plan_.steps[k].conv_output.height;
    task.conv_width = plan_.steps[k].conv_output.width;
    task.padded = choice.padded;
    task.pixels = choice.pixels;
    task.tiling = choice.tiling;
    if (choice.on_tensor_cores) return add_conv_mma(k, task);
    (op.pooled ? kernels_.conv_pooled : kernels_.conv)(task, stream_);
  }

  void add_conv_mma(size_t k, const IntegerConvTask& conv) const {
    const Op& op = run_.blueprint.ops[k];
    const MmaChoice& choice = run_.blueprint.choices[k].mma;
    IntegerMmaTask task{};
    task.conv = conv;
    task.bundles = run_.weights.quad_bundles(op.convs[0], run_.taps.convs(k));
    task.image_pixels = divider(int64_t{conv.conv_height} * conv.conv_width);
    task.row_pixels = divider(conv.conv_width);
    task.tile_row_pixels = divider(2 * choice.tiling.width + 1);
    task.tiles = choice.tiles;
    task.slices = choice.slices;
    task.warps = choice.warps;
    task.plane_quads = mma_plane_quads(choice.tiling);
    (op.pooled ? kernels_.conv_mma_pooled : kernels_.conv_mma)(task, stream_);
  }

  const IntegerRun& run_;
  const IntegerKernelTable& kernels_;
  const Plan& plan_;
  Stream stream_;
};

}  // namespace

void launch_integer_step(const IntegerRun& run, size_t step, Stream stream) {
  IntegerStepLauncher(run, stream).launch(step);
}

}  // namespace squish::cuda
