// Small values between C++ and Python, shared by the register_*.cc files.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <tuple>

#include "format/description.h"
#include "squish/model.h"

namespace squish::bindings {

using Pair = std::tuple<int, int>;
using Padding = std::tuple<int, int, int, int>;  // top, left, bottom, right

inline Pair kernel_of(const Window& w) { return {w.kernel_h, w.kernel_w}; }
inline Pair stride_of(const Window& w) { return {w.stride_h, w.stride_w}; }
inline Padding padding_of(const Window& w) { return {w.pad_top, w.pad_left, w.pad_bottom, w.pad_right}; }
Window make_window(Pair kernel, Pair stride, Padding padding);

inline std::tuple<int, int, int> shape_tuple(const Shape& s) { return {s.channels, s.height, s.width}; }

// The bytes the operating system wants for a str, bytes or os.PathLike; names that are not UTF-8 survive.
std::string file_path(pybind11::handle path);

// The word for a value, and the value for a word. The latter throw InvalidArgument: "encoding: got 'x', wanted ...".
const char* name_of(LayerKind kind);
const char* name_of(WeightEncoding encoding);
const char* name_of(WeightType type);
const char* name_of(Interpolation interpolation);
WeightType weight_type(const std::string& name);
Interpolation interpolation(const std::string& name);

// got is none of the words in wanted.
[[noreturn]] void throw_unknown(const char* what, const std::string& got, const char* wanted);

}  // namespace squish::bindings
