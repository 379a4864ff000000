#include "cuda/program.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

namespace squish::cuda {
namespace {

size_t round_up(size_t bytes) {
  return (bytes + Parcel::kAlignment - 1) / Parcel::kAlignment * Parcel::kAlignment;
}

// As floats: the most that a format needs.
size_t image_bytes(const Blueprint& blueprint) {
  const auto values = static_cast<size_t>(blueprint.plan.buffers.front().layout.floats() * blueprint.images);
  return round_up(values * sizeof(float));
}

size_t activation_bytes(const Blueprint& blueprint) {
  return static_cast<size_t>(blueprint.plan.arena_floats * blueprint.images * value_bytes(blueprint.storage));
}

int64_t result_values(const Blueprint& blueprint) {
  return blueprint.plan.steps.back().output_shape.elements() * blueprint.images;
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
    if (step == 0) return add_input();
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
    if constexpr (kStoresFloats) {
      // Floats are read where they are. Only reads of buffer 0 see this pointer.
      if (index == 0 && ends_.format == PixelFormat::kF32Nchw) {
        data = const_cast<float*>(static_cast<const float*>(ends_.images));
      }
      if (index == output_buffer()) data = ends_.output;
    }
    return {data, layout.floats(), layout.channels(), layout.height, layout.width};
  }
  Planes<const T> input_of(size_t k, size_t i = 0) const {
    const Planes<T> in = buffer(blueprint_.plan.steps[k].inputs[i]);
    return {in.data, in.image_stride, in.channels, in.height, in.width};
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

  void add_results() const {
    const ResultsTask<T> task{buffer(output_buffer()).data, ends_.output, result_values(blueprint_)};
    add(kernels_.write_floats, task);
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
      case OpKind::kGlobalAveragePool:
        return add(kernels_.average, AverageTask<T>{input_of(k), output_of(k), images_});
      case OpKind::kAdd:
        break;
    }
    const Planes<T> out = output_of(k);
    add(kernels_.add, AddTask<T>{input_of(k, 0).data, input_of(k, 1).data, out.data,
                                 out.image_stride * images_, floor_for(op.relu)});
  }

  void add_conv(size_t k) const {
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
    add(op.pooled ? kernels_.conv_pooled : op.averaged ? kernels_.conv_averaged : kernels_.conv, task);
  }

  void add_fire(size_t k) const {
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
  if (!stores_floats()) return false;
  const Step& op = blueprint_.plan.steps[step - 1];
  return std::find(op.inputs.begin(), op.inputs.end(), 0) != op.inputs.end() ||
         op.output == blueprint_.plan.steps.back().output;
}

void Program::launch(size_t step, const Ends& ends, Stream stream) const {
  if (stores_floats()) {
    StepLauncher<float>(*this, ends, stream).run(step);
  } else {
    StepLauncher<__half>(*this, ends, stream).run(step);
  }
}

DeviceWeights::DeviceWeights(Runtime& runtime, const Packs& packs, StorageType storage) {
  Parcel parcel;
  for (const auto& [first, convs] : packs) convs_.emplace(first, DeviceConvs(convs, storage, parcel));
  memory_ = parcel.send(runtime);
}

DeviceTaps::DeviceTaps(Runtime& runtime, const Blueprint& blueprint, const Packs& packs) {
  Parcel parcel;
  for (size_t k = 0; k < blueprint.ops.size(); ++k) {
    const Op& op = blueprint.ops[k];
    const Layout& in = blueprint.plan.buffers[static_cast<size_t>(blueprint.plan.steps[k].inputs[0])].layout;
    std::vector<Tap> squeeze, convs;
    if (op.squeeze != nullptr) {
      squeeze = taps_of(packs.at(op.squeeze), in.block_floats(), in.row_floats());
      const Tiling& tiling = blueprint.choices[k].tiling;
      const int64_t row = (op.pooled ? 2 * tiling.width + 1 : tiling.width) + 2,
                    rows = (op.pooled ? 2 * tiling.height + 1 : tiling.height) + 2;
      convs = taps_of(packs.at(op.convs[0]), rows * row, row);
    } else if (op.kind == OpKind::kConv) {
      convs = taps_of(packs.at(op.convs[0]), in.block_floats(), in.row_floats());
    }
    offsets_.push_back(parcel.add(squeeze));
    offsets_.push_back(parcel.add(convs));
  }
  memory_ = parcel.send(runtime);
}

Arena::Arena(const Blueprint& blueprint, uint8_t* base)
    : not_finite(reinterpret_cast<int*>(base)),
      images(base + Parcel::kAlignment),
      activations(images + image_bytes(blueprint)) {
  const bool floats = blueprint.storage == StorageType::kF32;
  const auto last = static_cast<size_t>(blueprint.plan.buffers.back().offset * blueprint.images);
  output = reinterpret_cast<float*>(activations +
                                    (floats ? last * sizeof(float) : round_up(activation_bytes(blueprint))));
}

size_t Arena::bytes(const Blueprint& blueprint) {
  const size_t before = Parcel::kAlignment + image_bytes(blueprint),
               activations = activation_bytes(blueprint);
  if (blueprint.storage == StorageType::kF32) return before + activations;
  return before + round_up(activations) + static_cast<size_t>(result_values(blueprint)) * sizeof(float);
}

}  // namespace squish::cuda
