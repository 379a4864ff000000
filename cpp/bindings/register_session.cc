// Session behind a lock: calls from several Python threads wait for each other, with the GIL released.
#include <unistd.h>

#include <mutex>
#include <optional>
#include <stdexcept>

#include "bindings/batch.h"
#include "bindings/convert.h"
#include "bindings/register.h"
#include "bindings/released_gil.h"
#include "squish/session.h"

namespace py = pybind11;

namespace squish::bindings {
namespace {

class GuardedSession {
 public:
  GuardedSession(std::shared_ptr<const Model> model, const SessionOptions& options)
      : model_(model), process_(getpid()), session_(std::make_unique<Session>(std::move(model), options)) {}

  // A child that was forked has the pool's handles but not its threads: joining them would wait for ever.
  ~GuardedSession() {
    if (!forked()) return;
    [[maybe_unused]] const Session* leaked = session_.release();
  }

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
                                             int threads, std::string isa) {
  SessionOptions options;
  options.device = std::move(device);
  options.threads = threads;
  options.isa = std::move(isa);
  const ReleasedGil released;
  return std::make_unique<GuardedSession>(std::move(model), options);
}

// (N, classes); (N, C, H, W) where a net ends in a map.
std::vector<py::ssize_t> output_shape(const Model& model, const ImageBatch& batch) {
  const Shape shape = model.output_shape(batch.height, batch.width);
  std::vector<py::ssize_t> sizes = {batch.count, shape.channels};
  if (shape.height != 1 || shape.width != 1) sizes.insert(sizes.end(), {shape.height, shape.width});
  return sizes;
}

py::array run(GuardedSession& session, const py::array& batch, std::optional<py::array> out) {
  const ImageBatch images = image_batch(batch, session.model()->input_shape().channels);
  const std::vector<py::ssize_t> shape = output_shape(*session.model(), images);
  if (out) {
    check_out(*out, shape, batch);
  } else {
    out = py::array_t<float>(shape);
  }
  auto* logits = static_cast<float*>(out->mutable_data());
  session.call([&](Session& s) { s.run(images, logits); });
  return *out;
}

std::vector<StepInfo> profile(GuardedSession& session, const py::array& batch, int iterations) {
  const ImageBatch images = image_batch(batch, session.model()->input_shape().channels);
  return session.call([&](Session& s) { return s.profile(images, iterations); });
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

}  // namespace

void register_session(py::module_& m) {
  m.def("available_isas", &available_isas,
        "Instruction sets that this build has and this CPU runs, best first.");
  register_step_info(m);
  py::class_<GuardedSession>(m, "Session", "Runs a Model. Safe to call from several threads.")
      .def(py::init(&make_session), py::arg("model"), py::arg("device") = "cpu", py::arg("threads") = 1,
           py::arg("isa") = "")
      .def("run", &run, py::arg("batch"), py::arg("out") = py::none(),
           "C-contiguous (N, C, H, W) float32 or (N, H, W, C) uint8. Releases the GIL.")
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
      .def(
          "explain",
          [](GuardedSession& session, int height, int width) {
            return session.call([&](Session& s) { return s.explain(height, width); });
          },
          py::arg("height"), py::arg("width"))
      .def("profile", &profile, py::arg("batch"), py::arg("iterations"))
      .def(
          "arena_bytes",
          [](GuardedSession& session, int height, int width) {
            return session.call([&](Session& s) { return s.arena_bytes(height, width); });
          },
          py::arg("height"), py::arg("width"));
}

}  // namespace squish::bindings
