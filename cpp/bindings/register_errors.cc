// squish/error.h as Python exceptions.
#include <cerrno>
#include <cstring>

#include "bindings/register.h"
#include "squish/error.h"

namespace py = pybind11;

namespace squish::bindings {
namespace {

template <typename Exception>
void make_class(py::module_& m, const char* name, PyObject* base) {
  // Users catch squishnative.FormatError, so that is the name a traceback shows.
  py::exception<Exception>(m, name, base).attr("__module__") = "squishnative";
}

// Messages name files, whose names may have any bytes: what is not UTF-8 becomes the
// surrogates that os.fsencode() turns back.
void set_error(py::handle type, const std::exception& error) {
  const char* message = error.what();
  const auto text = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(message, static_cast<Py_ssize_t>(std::strlen(message)), "surrogateescape"));
  if (text) py::set_error(type, text);  // else no memory, which is the error then
}

py::object class_of(const char* name) { return py::module_::import("squishnative._core").attr(name); }

// pybind11 fixes the signature.
void translate(std::exception_ptr thrown) {  // NOLINT(performance-unnecessary-value-param)
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const FormatError& error) {
    set_error(class_of("FormatError"), error);
  } catch (const DeviceError& error) {
    set_error(class_of("DeviceError"), error);
  } catch (const InvalidArgument& error) {
    set_error(PyExc_ValueError, error);
  } catch (const IoError& error) {
    errno = error.code();  // chooses the class: FileNotFoundError, PermissionError, ...
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, error.path().c_str());
  }
}

}  // namespace

void register_errors(py::module_& m) {
  make_class<FormatError>(m, "FormatError", PyExc_ValueError);
  make_class<DeviceError>(m, "DeviceError", PyExc_RuntimeError);
  py::register_exception_translator(&translate);
}

}  // namespace squish::bindings
