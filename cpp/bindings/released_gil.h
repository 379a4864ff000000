// Lets other Python threads run while the engine works.
#pragma once

#include <pybind11/pybind11.h>

namespace squish::bindings {

// Releases the GIL for its lifetime, like pybind11's gil_scoped_release, but is safe in daemon threads while the
// interpreter exits. Until Python 3.14 a thread that asks a dying interpreter for the GIL is ended by unwinding
// its stack, which no C++ destructor survives. So exit first waits for the calls that are under way, and
// calls after that keep the GIL.
class ReleasedGil {
 public:
  ReleasedGil();
  ~ReleasedGil();
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

 private:
  PyThreadState* state_ = nullptr;
};

// Makes the interpreter's exit wait. Called once, when the module is imported.
void register_exit();

}  // namespace squish::bindings
