// NumPy arrays as the engine's batches: every check that stands between a caller's array and a raw pointer.
#pragma once

#include <pybind11/numpy.h>

#include "squish/session.h"

namespace squish::bindings {

// A view of `array`, which must outlive it: (N, C, H, W) float32 or (N, H, W, C) uint8, C-contiguous.
// Throws py::type_error on another dtype, InvalidArgument on another rank, channel count or layout.
ImageBatch image_batch(const pybind11::array& array, int channels);

// Checks that the engine may write its output for `batch` into `out`: float32 of this shape, C-contiguous,
// writable, apart from the batch. Throws like image_batch().
void check_out(const pybind11::array& out, const std::vector<pybind11::ssize_t>& shape,
               const pybind11::array& batch);

}  // namespace squish::bindings
