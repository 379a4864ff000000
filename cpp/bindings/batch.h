// Callers' arrays as the engine's batches: every check that stands between an array and a raw pointer.
#pragma once

#include <pybind11/numpy.h>

#include <string>
#include <vector>

#include "squish/session.h"

namespace squish::bindings {

using Sizes = std::vector<pybind11::ssize_t>;

// An array in the memory of the host or of a device, which must outlive it.
struct ArrayView {
  const void* data;
  std::string dtype;  // NumPy's word: "float32", ">f4"
  Sizes sizes;
  size_t bytes;
  bool contiguous;  // in C's order, and aligned
  bool writable;
};

ArrayView view_of(const pybind11::array& array);

// (N, C, H, W) float32 or (N, H, W, C) uint8, C-contiguous.
// Throws py::type_error on another dtype, InvalidArgument on another rank, channel count or layout.
ImageBatch image_batch(const ArrayView& array, int channels);

// Checks that the engine may write its output for `batch` into `out`: float32 of these sizes, C-contiguous,
// writable, apart from the batch. Throws like image_batch().
void check_out(const ArrayView& out, const Sizes& sizes, const ArrayView& batch);

}  // namespace squish::bindings
