// CUDA's API as far as cuda/cuda_runtime.cc calls it, without a device: it keeps what it was asked for, and fails where it is
// told to. For one thread at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace squish::testing {

struct FakeCuda {
  struct Call {
    std::string name;
    int device;                  // the thread's when it was made
    cudaStreamCaptureMode mode;  // of its thread
  };
  struct Node {
    const void* kernel;
    dim3 grid, threads;
    unsigned dynamic_bytes;
    int argument;  // the kernel's only one
    std::vector<cudaGraphNode_t> after;
    bool overlaps = false;  // may begin before what it comes after has ended
  };

  std::map<std::string, cudaError_t> fails;  // what calls of this name return
  int device = 0;
  int major = 8;  // of the compute capability
  int compiled_for = 80;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  cudaError_t last_error = cudaSuccess;

  float milliseconds = 0;  // between any two events

  std::vector<Call> calls;
  std::vector<Node> nodes;  // of the graph that was made last; a cudaGraphNode_t is the number of one, from 1
  std::vector<void*> freed;

  cudaError_t call(const char* name);
  bool called(const std::string& name) const {
    return std::any_of(calls.begin(), calls.end(), [&](const Call& call) { return call.name == name; });
  }
};

// The one that answers now; tests begin with a new one.
FakeCuda& fake_cuda();

}  // namespace squish::testing
