// The module squishnative._core, one register_*.cc a topic. Its interface is python/squishnative/_core.pyi;
// tests/python/test_stub.py compares the two.
#pragma once

#include <pybind11/pybind11.h>

namespace squish::bindings {

void register_errors(pybind11::module_& m);
void register_model(pybind11::module_& m);
void register_session(pybind11::module_& m);
void register_writer(pybind11::module_& m);

}  // namespace squish::bindings
