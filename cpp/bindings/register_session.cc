// Session behind a lock: calls from several Python threads wait for each other, with the GIL released.
#include <unistd.h>

#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

#include "bindings/batch.h"
#include "bindings/convert.h"
#include "bindings/device_array.h"
#include "bindings/dlpack.h"
#include "bindings/register.h"
#include "bindings/released_gil.h"
#include "squish/error.h"
#include "squish/session.h"

namespace py = pybind11;

namespace squish::bindings {
namespace {

class GuardedSession {
 public:
  GuardedSession(std::shared_ptr<const Model> model, const SessionOptions& options)
      : model_(model), process_(getpid()), session_(std::make_unique<Session>(std::move(model), options)) {}

  ~GuardedSession() {
    if (forked()) {  // the child has the pool's handles but not its threads: joining them would wait for ever
      [[maybe_unused]] const Session* leaked = session_.release();
      return;
    }
    const ReleasedGil released;  // it waits for its threads, or for the device
    session_.reset();
  }
  GuardedSession(const GuardedSession&) = delete;
  GuardedSession& operator=(const GuardedSession&) = delete;

  const std::shared_ptr<const Model>& model() const { return model_; }
  const SessionOptions& options() const { return session_->options(); }
  const std::string& isa() const { return session_->isa(); }

  // Calls function(session) with the GIL released and the session locked, in this order: a thread that waits
  // for the session must not hold the GIL that the one inside may need.
  template <typename Function>
  auto call(Function&& function) {
    if (forked())
      throw std::runtime_error("the net was loaded before a fork, load it again in the child process");
    const ReleasedGil released;
    const std::lock_guard<std::mutex> lock(mutex_);
    return function(*session_);
  }

 private:
  bool forked() const { return process_ != getpid(); }

  std::shared_ptr<const Model> model_;
  pid_t process_;
  std::mutex mutex_;
  std::unique_ptr<Session> session_;
};

std::unique_ptr<GuardedSession> make_session(std::shared_ptr<const Model> model, std::string device,
                                             int threads, std::string isa, std::string storage, bool tune) {
  SessionOptions options;
  options.device = std::move(device);
  options.threads = threads;
  options.isa = std::move(isa);
  options.storage = std::move(storage);
  options.tune = tune;
  const ReleasedGil released;
  return std::make_unique<GuardedSession>(std::move(model), options);
}

// (N, classes); (N, C, H, W) where a net ends in a map.
Sizes output_sizes(const Model& model, const ImageBatch& batch) {
  const Shape shape = model.output_shape(batch.height, batch.width);
  Sizes sizes = {static_cast<py::ssize_t>(batch.count), shape.channels};
  if (shape.height != 1 || shape.width != 1) sizes.insert(sizes.end(), {shape.height, shape.width});
  return sizes;
}

py::array run(GuardedSession& session, const py::array& batch, std::optional<py::array> out) {
  const ArrayView view = view_of(batch);
  const ImageBatch images = image_batch(view, session.model()->input_shape().channels);
  const Sizes sizes = output_sizes(*session.model(), images);
  if (out) {
    check_out(view_of(*out), sizes, view);
  } else {
    out = py::array_t<float>(sizes);
  }
  auto* logits = static_cast<float*>(out->mutable_data());
  session.call([&](Session& s) { s.run(images, logits); });
  return *out;
}

// Throws where the array says that it lies on another device than the session's.
void check_device(const DeviceView& view, int device, const char* what) {
  if (!view.device || *view.device == device) return;
  throw InvalidArgument(std::string(what) + ": lies on cuda:" + std::to_string(*view.device) +
                        ", wanted cuda:" + std::to_string(device) + ", where the net is");
}

void wait_for_writers(Session& session, const DeviceView& view, StreamHandle stream) {
  if (!view.written_on || *view.written_on == stream) return;
  session.order(pointer(stream), pointer(*view.written_on));
}

py::object enqueue(GuardedSession& session, const py::object& batch, py::object out, StreamHandle stream) {
  // First of all: to make the stream wait or to ask for memory could break a capture.
  const std::optional<int> device = session.call([&](Session& s) {
    const std::optional<int> number = s.device_number();
    if (number) s.check_stream(pointer(stream));
    return number;
  });
  const DeviceView in = device_view(batch, "batch", stream);
  const ImageBatch images = image_batch(in.array, session.model()->input_shape().channels);
  const Sizes sizes = output_sizes(*session.model(), images);
  std::optional<DeviceView> given;
  if (!out.is_none()) {
    given = device_view(out, "out", stream);
    check_out(given->array, sizes, in.array);
  }
  if (!device) {
    throw InvalidArgument("batch: is on a CUDA device, the net on '" + session.options().device +
                          "': load it with device=\"cuda\", or copy the batch to the host");
  }
  check_device(in, *device, "batch");
  if (given) check_device(*given, *device, "out");

  std::optional<DeviceArray> made;
  if (!given) {
    size_t bytes = sizeof(float);
    for (const py::ssize_t size : sizes) bytes *= static_cast<size_t>(size);
    std::shared_ptr<DeviceBuffer> buffer = session.call([&](Session& s) { return s.allocate(bytes); });
    made.emplace(std::move(buffer), sizes, *device);
  }
  // check_out() has seen that it may be written to.
  auto* const logits = made ? made->data() : const_cast<float*>(static_cast<const float*>(given->array.data));
  session.call([&](Session& s) {
    wait_for_writers(s, in, stream);
    if (given) wait_for_writers(s, *given, stream);
    s.enqueue(images, logits, pointer(stream));
    if (made) made->written_on(stream);
  });
  return made ? py::cast(std::move(*made)) : std::move(out);
}

std::vector<StepInfo> profile(GuardedSession& session, const py::array& batch, int iterations) {
  const ImageBatch images = image_batch(view_of(batch), session.model()->input_shape().channels);
  return session.call([&](Session& s) { return s.profile(images, iterations); });
}

void register_memory_use(py::module_& m) {
  py::class_<MemoryUse>(m, "MemoryUse", "Bytes of memory; see squish/session.h.")
      .def_readonly("model", &MemoryUse::model)
      .def_readonly("weights", &MemoryUse::weights)
      .def_readonly("activations", &MemoryUse::activations)
      .def_readonly("scratch", &MemoryUse::scratch)
      .def_property_readonly("total", &MemoryUse::total)
      .def("__repr__", [](const MemoryUse& use) {
        return "MemoryUse(model=" + std::to_string(use.model) + ", weights=" + std::to_string(use.weights) +
               ", activations=" + std::to_string(use.activations) +
               ", scratch=" + std::to_string(use.scratch) + ", total=" + std::to_string(use.total()) + ")";
      });
}

void register_step_info(py::module_& m) {
  py::class_<StepInfo>(m, "StepInfo", "One step of a plan.")
      .def_readonly("layer", &StepInfo::layer)
      .def_readonly("kernel", &StepInfo::kernel)
      .def_readonly("why", &StepInfo::why)
      .def_property_readonly("output", [](const StepInfo& step) { return shape_tuple(step.output); })
      .def_readonly("density", &StepInfo::density)
      .def_readonly("cluster_density", &StepInfo::cluster_density)
      .def_readonly("macs", &StepInfo::macs)
      .def_readonly("macs_run", &StepInfo::macs_run)
      .def_readonly("seconds", &StepInfo::seconds);
}

void register_device_array(py::module_& m) {
  py::class_<DeviceArray>(m, "DeviceArray", "float32 in the memory of a CUDA device, in C's order.")
      .def_property_readonly("shape", &DeviceArray::shape)
      .def_property_readonly("dtype", [](const DeviceArray&) { return "float32"; })
      .def_property_readonly(
          "device", [](const DeviceArray& array) { return "cuda:" + std::to_string(array.device()); })
      .def_property_readonly("__cuda_array_interface__", &DeviceArray::cuda_array_interface)
      .def("__dlpack_device__",
           [](const DeviceArray& array) {
             return std::make_tuple(static_cast<int>(dlpack::kCuda), array.device());
           })
      // What max_version allows, version 0 is.
      .def(
          "__dlpack__",
          [](const DeviceArray& array, std::optional<int64_t> stream, const py::object& /*max_version*/,
             std::optional<py::tuple> device,
             std::optional<bool> copy) { return array.dlpack(stream, std::move(device), copy); },
          py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
          py::arg("dl_device") = py::none(), py::arg("copy") = py::none());
}

}  // namespace

void register_session(py::module_& m) {
  m.def("available_isas", &available_isas,
        "Instruction sets that this build has and this CPU runs, best first.");
  register_memory_use(m);
  register_step_info(m);
  register_device_array(m);
  py::class_<GuardedSession>(m, "Session", "Runs a Model. Safe to call from several threads.")
      .def(py::init(&make_session), py::arg("model"), py::arg("device") = "cpu", py::arg("threads") = 1,
           py::arg("isa") = "", py::arg("storage") = "auto", py::arg("tune") = false)
      .def("run", &run, py::arg("batch"), py::arg("out") = py::none(),
           "C-contiguous (N, C, H, W) float32 or (N, H, W, C) uint8. Releases the GIL.")
      .def("enqueue", &enqueue, py::arg("batch"), py::arg("out") = py::none(), py::arg("stream") = 0,
           "Arrays of the session's device; see squish/session.h.")
      .def("synchronise", [](GuardedSession& session) { session.call([](Session& s) { s.synchronise(); }); })
      .def(
          "prepare",
          [](GuardedSession& session, int height, int width) {
            session.call([&](Session& s) { s.prepare(height, width); });
          },
          py::arg("height"), py::arg("width"))
      .def_property_readonly("model", &GuardedSession::model)
      .def_property_readonly("device", [](const GuardedSession& session) { return session.options().device; })
      .def_property_readonly("threads",
                             [](const GuardedSession& session) { return session.options().threads; })
      .def_property_readonly("isa", &GuardedSession::isa)
      .def_property_readonly("storage",
                             [](const GuardedSession& session) { return session.options().storage; })
      .def(
          "explain",
          [](GuardedSession& session, int height, int width) {
            return session.call([&](Session& s) { return s.explain(height, width); });
          },
          py::arg("height"), py::arg("width"))
      .def("profile", &profile, py::arg("batch"), py::arg("iterations"))
      .def(
          "memory",
          [](GuardedSession& session, int height, int width) {
            return session.call([&](Session& s) { return s.memory(height, width); });
          },
          py::arg("height"), py::arg("width"));
}

}  // namespace squish::bindings
