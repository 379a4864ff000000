#include "bindings/released_gil.h"

#include <pthread.h>

#include <chrono>
#include <thread>

namespace py = pybind11;

namespace squish::bindings {
namespace {

// Both are read and written with the GIL held.
bool exiting = false;
int calls_without_gil = 0;

void wait_for_calls() {
  exiting = true;
  while (calls_without_gil > 0) {
    py::gil_scoped_release release;  // not a ReleasedGil: it is this thread that ends the interpreter
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

ReleasedGil::ReleasedGil() {
  if (exiting) return;
  ++calls_without_gil;
  state_ = PyEval_SaveThread();
}

ReleasedGil::~ReleasedGil() {
  if (state_ == nullptr) return;
  PyEval_RestoreThread(state_);
  --calls_without_gil;
}

void register_exit() {
  py::module_::import("atexit").attr("register")(py::cpp_function(&wait_for_calls));
  // The threads that were calling did not come along into a child that was forked.
  pthread_atfork(nullptr, nullptr, [] { calls_without_gil = 0; });
}

}  // namespace squish::bindings
