#include "cuda/program.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

#include "cuda/divider.h"
#include "cuda/integer_steps.h"

namespace squish::cuda {
namespace {

size_t round_up(size_t bytes) {
  return (bytes + Parcel::kAlignment - 1) / Parcel::kAlignment * Parcel::kAlignment;
}

// As floats: the most that a format needs.
size_t image_bytes(const Blueprint& blueprint) {
  const Plan& plan = blueprint.plan;
  const int64_t pixels = int64_t{plan.height} * plan.width * blueprint.images;
  return round_up(static_cast<size_t>(plan.buffers.front().layout.channels() * pixels) * sizeof(float));
}

size_t activation_bytes(const Blueprint& blueprint) {
  return static_cast<size_t>(blueprint.plan.arena_floats * blueprint.images * value_bytes(blueprint.storage));
}

int64_t result_values(const Blueprint& blueprint) {
  return blueprint.plan.steps.back().output_shape.elements() * blueprint.images;
}

// Of the net's input in quads.
int quad_channels(const Blueprint& blueprint) {
  return (blueprint.plan.buffers.front().layout.channels() + kQuad - 1) / kQuad * kQuad;
}

size_t quad_bytes(const Blueprint& blueprint) {
  if (!blueprint.on_tensor_cores) return 0;
  const Plan& plan = blueprint.plan;
  const int64_t values = int64_t{quad_channels(blueprint)} * plan.height * plan.width * blueprint.images;
  return round_up(static_cast<size_t>(values * value_bytes(blueprint.storage)));
}

// Whether the last op writes what will be downloaded where it computes it.
bool output_is_activation(const Blueprint& blueprint) {
  return !blueprint.on_tensor_cores && blueprint.storage == StorageType::kF32;
}

template <typename T>
const KernelTable<T>& kernels_of(const Runtime& runtime);
template <>
const KernelTable<float>& kernels_of(const Runtime& runtime) {
  return runtime.kernels();
}
template <>
const KernelTable<__half>& kernels_of(const Runtime& runtime) {
  return runtime.half_kernels();
}

float floor_for(bool relu) { return relu ? 0.0f : -std::numeric_limits<float>::infinity(); }

}  // namespace

// One step, bound to the ends of one run. T: how values are stored.
template <typename T>
class StepLauncher {
 public:
  StepLauncher(const Program& program, const Ends& ends, Stream stream)
      : kernels_(kernels_of<T>(program.runtime_)),
        blueprint_(program.blueprint_),
        arena_(program.arena_),
        weights_(program.weights_),
        taps_(program.taps_),
        norm_(program.norm_),
        images_(static_cast<int>(blueprint_.images)),
        ends_(ends),
        stream_(stream) {}

  void run(size_t step) const {
    if (step == 0) return blueprint_.on_tensor_cores ? add_quads() : add_input();
    step <= blueprint_.ops.size() ? add_op(step - 1) : add_results();
  }

 private:
  static constexpr bool kStoresFloats = std::is_same_v<T, float>;

  int output_buffer() const { return blueprint_.plan.steps.back().output; }

  Planes<T> buffer(int index) const {
    const PlannedBuffer& buffer = blueprint_.plan.buffers[static_cast<size_t>(index)];
    const Layout& layout = buffer.layout;
    uint8_t* const at =
        arena_.activations + buffer.offset * blueprint_.images * value_bytes(blueprint_.storage);
    T* data = reinterpret_cast<T*>(at);
    if (blueprint_.on_tensor_cores && index == 0) {
      const int channels = quad_channels(blueprint_);
      return {reinterpret_cast<T*>(arena_.quads),
              int64_t{channels} * layout.height * layout.width,
              channels,
              layout.height,
              layout.width,
              kQuad};
    }
    if constexpr (kStoresFloats) {
      // Floats are read where they are. Only reads of buffer 0 see this pointer.
      const bool planar = !blueprint_.on_tensor_cores;
      if (planar && index == 0 && ends_.format == PixelFormat::kF32Nchw) {
        data = const_cast<float*>(static_cast<const float*>(ends_.images));
      }
      if (planar && index == output_buffer()) data = ends_.output;
    }
    const int step = layout.channel_step();
    return {data, layout.values(), layout.blocks() * step, layout.height, layout.width, step};
  }
  // Only Fires' outputs have two.
  Segments segments(int index) const {
    const Layout& layout = blueprint_.plan.buffers[static_cast<size_t>(index)].layout;
    return {layout.segments.front(), layout.channels()};
  }

  // The caller's, where an op for tensor cores writes them.
  float* results_of(size_t k) const {
    const bool writes =
        blueprint_.on_tensor_cores && k + 1 == blueprint_.ops.size() && !blueprint_.writes_results();
    return writes ? ends_.output : nullptr;
  }

  static Planes<const T> constant(const Planes<T>& in) {
    return {in.data, in.image_stride, in.channels, in.height, in.width, in.step};
  }
  Planes<const T> input_of(size_t k, size_t i = 0) const {
    return constant(buffer(blueprint_.plan.steps[k].inputs[i]));
  }
  Planes<T> output_of(size_t k) const { return buffer(blueprint_.plan.steps[k].output); }

  template <typename Task>
  void add(void (*kernel)(const Task&, Stream), const Task& task) const {
    kernel(task, stream_);
  }

  void add_input() const {
    const Planes<T> out = buffer(0);
    if (ends_.format == PixelFormat::kU8Nhwc) {
      PixelsTask<T> task{static_cast<const uint8_t*>(ends_.images), out, images_, {}, {}};
      std::copy(norm_.scale.begin(), norm_.scale.end(), task.scale);
      std::copy(norm_.shift.begin(), norm_.shift.end(), task.shift);
      return add(kernels_.read_pixels, task);
    }
    const FloatsTask<T> task{static_cast<const float*>(ends_.images), out.data, out.image_stride * images_,
                             ends_.not_finite};
    add(kernels_.read_floats, task);
  }

  void add_quads() const {
    QuadsTask<T> task{};
    if (ends_.format == PixelFormat::kU8Nhwc) {
      task.pixels = static_cast<const uint8_t*>(ends_.images);
      std::copy(norm_.scale.begin(), norm_.scale.end(), task.scale);
      std::copy(norm_.shift.begin(), norm_.shift.end(), task.shift);
    } else {
      task.floats = static_cast<const float*>(ends_.images);
    }
    task.out = buffer(0);
    task.images = images_;
    task.channels = blueprint_.plan.buffers.front().layout.channels();
    task.not_finite = ends_.not_finite;
    add(kernels_.read_quads, task);
  }

  void add_results() const {
    const int last = output_buffer();
    add(kernels_.write_floats, ResultsTask<T>{constant(buffer(last)), ends_.output, images_, segments(last)});
  }

  void add_op(size_t k) const {
    const Op& op = blueprint_.ops[k];
    switch (op.kind) {
      case OpKind::kConv:
        return op.squeeze != nullptr ? add_fire(k) : add_conv(k);
      case OpKind::kMaxPool: {
        const Window& w = op.window;
        return add(kernels_.max_pool, PoolTask<T>{input_of(k), output_of(k), images_, w.kernel_h, w.kernel_w,
                                                  w.stride_h, w.stride_w, w.pad_top, w.pad_left});
      }
      case OpKind::kGlobalAveragePool: {
        return add(kernels_.average, AverageTask<T>{input_of(k), output_of(k), images_, results_of(k),
                                                    blueprint_.plan.steps[k].output_shape.channels});
      }
      case OpKind::kAdd:
        break;
    }
    const std::vector<int>& inputs = blueprint_.plan.steps[k].inputs;
    add(kernels_.add, AddTask<T>{input_of(k, 0), input_of(k, 1), output_of(k), images_, segments(inputs[0]),
                                 segments(inputs[1]), floor_for(op.relu)});
  }

  void add_conv_mma(size_t k) const {
    const Op& op = blueprint_.ops[k];
    const OpChoice& choice = blueprint_.choices[k];
    MmaConvTask<T> task{};
    task.in = input_of(k);
    task.out = output_of(k);
    task.results = results_of(k);
    task.segments = segments(blueprint_.plan.steps[k].output);
    task.convs = weights_.bundles<T>(op.convs[0], taps_.convs(k));
    task.images = images_;
    task.stride_h = op.convs[0]->window.stride_h;
    task.stride_w = op.convs[0]->window.stride_w;
    task.conv_height = blueprint_.plan.steps[k].conv_output.height;
    task.conv_width = blueprint_.plan.steps[k].conv_output.width;
    task.image_pixels = divider(int64_t{task.conv_height} * task.conv_width);
    task.row_pixels = divider(task.conv_width);
    task.tile_row_pixels = divider(2 * choice.tiling.width + 1);
    task.pooled_row_pixels = divider(choice.tiling.width);
    task.padded = choice.padded;
    task.tiles = choice.mma.tiles;
    task.slices = choice.mma.slices;
    task.warps = choice.mma.warps;
    task.tiling = choice.tiling;
    add(op.pooled ? kernels_.conv_mma_pooled : kernels_.conv_mma, task);
  }

  void add_fire_mma(size_t k) const {
    const Op& op = blueprint_.ops[k];
    const OpChoice& choice = blueprint_.choices[k];
    const int tile_width = op.pooled ? 2 * choice.tiling.width + 1 : choice.tiling.width;
    MmaFireTask<T> task{};
    task.in = input_of(k);
    task.out = output_of(k);
    task.squeeze = weights_.bundles<T>(op.squeeze, taps_.squeeze(k));
    task.expands = weights_.bundles<T>(op.convs[0], taps_.convs(k));
    task.images = images_;
    task.squeeze_blocks = blocks_of(op.squeeze->out_channels);
    task.tile_row_pixels = divider(tile_width);
    task.halo_row_pixels = divider(tile_width + 2);
    task.pooled_row_pixels = divider(choice.tiling.width);
    task.splits = choice.fire.splits;
    task.warps = kMaxWarps;
    task.pooled = op.pooled;
    task.tiling = choice.tiling;
    add(kernels_.fire_mma, task);
  }

  void add_conv(size_t k) const {
    if (blueprint_.on_tensor_cores) return add_conv_mma(k);
    const Op& op = blueprint_.ops[k];
    const OpChoice& choice = blueprint_.choices[k];
    ConvTask<T> task{};
    task.in = input_of(k);
    task.out = output_of(k);
    task.clusters = weights_.clusters<T>(op.convs[0], taps_.convs(k));
    task.images = images_;
    task.stride_h = op.convs[0]->window.stride_h;
    task.stride_w = op.convs[0]->window.stride_w;
    task.conv_height = blueprint_.plan.steps[k].conv_output.height;
    task.conv_width = blueprint_.plan.steps[k].conv_output.width;
    task.padded = choice.padded;
    task.pixels = choice.pixels;
    task.tiling = choice.tiling;
    add(op.pooled ? kernels_.conv_pooled : kernels_.conv, task);
  }

  void add_fire(size_t k) const {
    if (blueprint_.on_tensor_cores) return add_fire_mma(k);
    const Op& op = blueprint_.ops[k];
    const OpChoice& choice = blueprint_.choices[k];
    FireTask<T> task{};
    task.in = input_of(k);
    task.out = output_of(k);
    task.squeeze = weights_.clusters<T>(op.squeeze, taps_.squeeze(k));
    task.expands = weights_.clusters<T>(op.convs[0], taps_.convs(k));
    task.images = images_;
    task.squeeze_channels = op.squeeze->out_channels;
    task.splits = choice.fire.splits;
    task.pooled = op.pooled;
    task.tiling = choice.tiling;
    add(kernels_.fire, task);
  }

  const KernelTable<T>& kernels_;
  const Blueprint& blueprint_;
  const Arena& arena_;
  const DeviceWeights& weights_;
  const DeviceTaps& taps_;
  const Normalisation& norm_;
  int images_;
  const Ends& ends_;
  Stream stream_;
};

bool Program::touches_ends(size_t step) const {
  if (step == 0 || step > blueprint_.ops.size()) return true;
  const Step& op = blueprint_.plan.steps[step - 1];
  const bool reads = !blueprint_.on_tensor_cores && blueprint_.storage == StorageType::kF32;
  return (reads && std::find(op.inputs.begin(), op.inputs.end(), 0) != op.inputs.end()) ||
         (!blueprint_.writes_results() && step == blueprint_.ops.size());
}

void Program::launch(size_t step, const Ends& ends, Stream stream) const {
  switch (blueprint_.storage) {
    case StorageType::kF32:
      return StepLauncher<float>(*this, ends, stream).run(step);
    case StorageType::kF16:
      return StepLauncher<__half>(*this, ends, stream).run(step);
    case StorageType::kI8:
      break;
  }
  launch_integer_step({runtime_, blueprint_, arena_, weights_, taps_, norm_, ends}, step, stream);
}

DeviceWeights::DeviceWeights(Runtime& runtime, const Packs& packs, StorageType storage) {
  Parcel parcel;
  for (const auto& [first, convs] : packs.convs) convs_.emplace(first, DeviceConvs(convs, storage, parcel));
  for (const auto& [first, convs] : packs.bundles)
    bundles_.emplace(first, DeviceBundles(convs, storage, parcel));
  for (const auto& [first, convs] : packs.integers)
    integers_.emplace(first, DeviceIntegerConvs(convs, parcel));
  for (const auto& [first, bundles] : packs.quad_bundles)
    quad_bundles_.emplace(first, DeviceQuadBundles(bundles, parcel));
  memory_ = parcel.send(runtime);
}

DeviceTaps::DeviceTaps(Runtime& runtime, const Blueprint& blueprint, const Packs& packs) {
  Parcel parcel;
  for (size_t k = 0; k < blueprint.ops.size(); ++k) {
    const Op& op = blueprint.ops[k];
    const Layout& in = blueprint.plan.buffers[static_cast<size_t>(blueprint.plan.steps[k].inputs[0])].layout;
    const Tiling& tiling = blueprint.choices[k].tiling;
    const int64_t halo_row = (op.pooled ? 2 * tiling.width + 1 : tiling.width) + 2,
                  halo_rows = (op.pooled ? 2 * tiling.height + 1 : tiling.height) + 2;
    std::vector<Tap> squeeze, convs;
    if (op.kind == OpKind::kConv && packs.in_integers()) {
      const auto& columns = blueprint.choices[k].on_tensor_cores ? packs.quad_bundles.at(op.convs[0]).quads
                                                                 : packs.integers.at(op.convs[0]).columns;
      convs = taps_of(columns, int64_t{in.height} * in.width, in.width);
    } else if (op.kind == OpKind::kConv && packs.on_tensor_cores) {
      // The net's input is planar in the plan, and in blocks of 4 channels in memory.
      const int channels = in.block == kPlaneBlock ? kQuad : kClusterChannels;
      const BlockStrides global{channels, int64_t{in.height} * in.width * channels,
                                int64_t{in.width} * channels};
      const BlockStrides halo{kClusterChannels, halo_rows * halo_row * kClusterChannels,
                              halo_row * kClusterChannels};
      if (op.squeeze != nullptr) squeeze = taps_of(packs.bundles.at(op.squeeze), global);
      convs = taps_of(packs.bundles.at(op.convs[0]), op.squeeze != nullptr ? halo : global);
    } else if (op.squeeze != nullptr) {
      squeeze = taps_of(packs.convs.at(op.squeeze), in.block_values(), in.row_values());
      convs = taps_of(packs.convs.at(op.convs[0]), halo_rows * halo_row, halo_row);
    } else if (op.kind == OpKind::kConv) {
      convs = taps_of(packs.convs.at(op.convs[0]), in.block_values(), in.row_values());
    }
    offsets_.push_back(parcel.add(squeeze));
    offsets_.push_back(parcel.add(convs));
  }
  memory_ = parcel.send(runtime);
}

Arena::Arena(const Blueprint& blueprint, uint8_t* base)
    : not_finite(reinterpret_cast<int*>(base)),
      images(base + Parcel::kAlignment),
      quads(images + image_bytes(blueprint)),
      activations(images + image_bytes(blueprint) + quad_bytes(blueprint)) {
  const auto last = static_cast<size_t>(blueprint.plan.buffers.back().offset * blueprint.images);
  output = reinterpret_cast<float*>(activations + (output_is_activation(blueprint)
                                                       ? last * sizeof(float)
                                                       : round_up(activation_bytes(blueprint))));
}

size_t Arena::bytes(const Blueprint& blueprint) {
  const size_t before = Parcel::kAlignment + image_bytes(blueprint) + quad_bytes(blueprint),
               activations = activation_bytes(blueprint);
  if (output_is_activation(blueprint)) return before + activations;
  return before + round_up(activations) + static_cast<size_t>(result_values(blueprint)) * sizeof(float);
}

}  // namespace squish::cuda
