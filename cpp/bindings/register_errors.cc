// squish/error.h as Python exceptions.
#include <cerrno>

#include "bindings/register.h"
#include "squish/error.h"

namespace py = pybind11;

namespace squish::bindings {
namespace {

template <typename Exception>
void register_class(py::module_& m, const char* name, PyObject* base) {
  // Users catch squishnative.FormatError, so that is the name a traceback shows.
  py::register_exception<Exception>(m, name, base).attr("__module__") = "squishnative";
}

// pybind11 fixes the signature.
void translate(std::exception_ptr thrown) {  // NOLINT(performance-unnecessary-value-param)
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const InvalidArgument& error) {
    py::set_error(PyExc_ValueError, error.what());
  } catch (const IoError& error) {
    errno = error.code();  // chooses the class: FileNotFoundError, PermissionError, ...
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, error.path().c_str());
  }
}

}  // namespace

void register_errors(py::module_& m) {
  register_class<FormatError>(m, "FormatError", PyExc_ValueError);
  register_class<DeviceError>(m, "DeviceError", PyExc_RuntimeError);
  py::register_exception_translator(&translate);
}

}  // namespace squish::bindings
