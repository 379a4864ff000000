#include "support/fake_cuda.h"

#include <cstring>

#include "cuda/kernel_table.h"
#include "cuda/runtime_check.h"

using squish::testing::fake_cuda;

namespace squish::testing {

FakeCuda& fake_cuda() {
  static FakeCuda fake;
  return fake;
}

cudaError_t FakeCuda::call(const char* name) {
  calls.push_back({name, device, mode});
  const auto found = fails.find(name);
  if (found == fails.end()) return cudaSuccess;
  last_error = found->second;
  return found->second;
}

namespace {

// A handle or an address that nobody looks behind.
template <typename T>
cudaError_t give(const char* name, T* handle, uintptr_t number) {
  const cudaError_t status = fake_cuda().call(name);
  if (status == cudaSuccess) *handle = reinterpret_cast<T>(number);
  return status;
}

}  // namespace
}  // namespace squish::testing

namespace squish::cuda {

const KernelTable<float>& float_kernels() {
  static const KernelTable<float> none{};
  return none;
}
const KernelTable<__half>& half_kernels() {
  static const KernelTable<__half> none{};
  return none;
}
const IntegerKernelTable& integer_kernels() {
  static const IntegerKernelTable none{};
  return none;
}
cudaError_t load_kernels(int* compiled_for) {
  *compiled_for = fake_cuda().compiled_for;
  return cudaSuccess;
}

}  // namespace squish::cuda

using squish::testing::give;

constexpr uintptr_t kHandle = 0x100;

const char* cudaGetErrorString(cudaError_t) { return "a fake error"; }
const char* cudaGetErrorName(cudaError_t) { return "cudaErrorFake"; }
cudaError_t cudaGetLastError() {
  const cudaError_t error = fake_cuda().last_error;
  fake_cuda().last_error = cudaSuccess;
  return error;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 2;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "fake");
  properties->totalGlobalMem = size_t{1} << 30;
  properties->major = fake_cuda().major;
  return fake_cuda().call("cudaGetDeviceProperties");
}
cudaError_t cudaGetDevice(int* device) {
  *device = fake_cuda().device;
  const auto found = fake_cuda().fails.find("cudaGetDevice");
  return found == fake_cuda().fails.end() ? cudaSuccess : fake_cuda().last_error = found->second;
}
cudaError_t cudaSetDevice(int device) {
  const auto found = fake_cuda().fails.find("cudaSetDevice");
  if (found != fake_cuda().fails.end()) return fake_cuda().last_error = found->second;
  fake_cuda().device = device;
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(fake_cuda().mode, *mode);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return fake_cuda().call("cudaDeviceSynchronize"); }

cudaError_t cudaMalloc(void** memory, size_t) { return give("cudaMalloc", memory, kHandle); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* all) {
  *free = *all = 0;
  return fake_cuda().call("cudaMemGetInfo");
}
cudaError_t cudaFree(void* memory) {
  fake_cuda().freed.push_back(memory);
  return fake_cuda().call("cudaFree");
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void*) {
  *attributes = {};
  return fake_cuda().call("cudaPointerGetAttributes");
}
cudaError_t cudaMemcpyAsync(void*, const void*, size_t, cudaMemcpyKind, cudaStream_t) {
  return fake_cuda().call("cudaMemcpyAsync");
}
cudaError_t cudaMemsetAsync(void*, int, size_t, cudaStream_t) { return fake_cuda().call("cudaMemsetAsync"); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return give("cudaStreamCreateWithFlags", stream, kHandle);
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return fake_cuda().call("cudaStreamDestroy"); }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return fake_cuda().call("cudaStreamSynchronize"); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
  return fake_cuda().call("cudaStreamWaitEvent");
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return fake_cuda().call("cudaStreamIsCapturing");
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return give("cudaEventCreateWithFlags", event, kHandle);
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return fake_cuda().call("cudaEventDestroy"); }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return fake_cuda().call("cudaEventRecord"); }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return fake_cuda().call("cudaEventSynchronize"); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = fake_cuda().milliseconds;
  return fake_cuda().call("cudaEventElapsedTime");
}

cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, size_t, cudaStream_t) {
  return fake_cuda().call("cudaLaunchKernel");
}

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  fake_cuda().nodes.clear();
  return give("cudaGraphCreate", graph, kHandle);
}
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t, const cudaGraphNode_t* after,
                                   size_t count, const cudaKernelNodeParams* kernel) {
  auto& nodes = fake_cuda().nodes;
  nodes.push_back({kernel->func,
                   kernel->gridDim,
                   kernel->blockDim,
                   kernel->sharedMemBytes,
                   *static_cast<const int*>(kernel->kernelParams[0]),
                   {after, after + count}});
  return give("cudaGraphAddKernelNode", node, nodes.size());
}
cudaError_t cudaGraphAddDependencies(cudaGraph_t, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                     const cudaGraphEdgeData* edge, size_t) {
  auto& node = fake_cuda().nodes.at(reinterpret_cast<size_t>(*to) - 1);
  node.after.push_back(*from);
  node.overlaps = edge->type == cudaGraphDependencyTypeProgrammatic;
  return fake_cuda().call("cudaGraphAddDependencies");
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* kernel) {
  fake_cuda().nodes.at(reinterpret_cast<size_t>(node) - 1).argument =
      *static_cast<const int*>(kernel->kernelParams[0]);
  return fake_cuda().call("cudaGraphExecKernelNodeSetParams");
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t, unsigned long long) {
  return give("cudaGraphInstantiate", executable, kHandle);
}
cudaError_t cudaGraphDestroy(cudaGraph_t) { return fake_cuda().call("cudaGraphDestroy"); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) { return fake_cuda().call("cudaGraphLaunch"); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return fake_cuda().call("cudaGraphExecDestroy"); }
