#include "bindings/register.h"
#include "bindings/released_gil.h"
#include "squish/session.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The engine: pybind11 over cpp/include/squish, without arithmetic of its own.";
  m.attr("__version__") = squish::version();
  squish::bindings::register_exit();
  squish::bindings::register_errors(m);
  squish::bindings::register_model(m);
  squish::bindings::register_session(m);
  squish::bindings::register_writer(m);
}
