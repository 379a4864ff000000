// Runtime over CUDA's own, linked statically: the program starts without a driver, and says so when a device is asked
// for.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <exception>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "cuda/runtime.h"
#include "cuda/runtime_check.h"
#include "squish/error.h"

namespace squish::cuda {

const KernelTable<float>& float_kernels();  // kernels.cu, like the next two
const KernelTable<__half>& half_kernels();
const IntegerKernelTable& integer_kernels();

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw DeviceError(std::string("cuda: ") + what + ": " + cudaGetErrorString(status) + " (" +
                    cudaGetErrorName(status) + ")");
}

namespace {

// Of what destructors call: nobody can be told, and the caller's next cudaGetLastError() is not to find it.
void ignore(cudaError_t status) noexcept {
  if (status != cudaSuccess) cudaGetLastError();
}

// On the runtime's device, and in the relaxed mode of capture: while somebody captures a stream in CUDA's global mode, an
// allocation of any other thread would fail, and break that capture. Both are the thread's own business and are put back.
class DeviceScope {
 public:
  explicit DeviceScope(int ordinal) : DeviceScope(ordinal, std::nothrow) { check(status_, "cudaSetDevice"); }
  // For destructors, which do what they can.
  DeviceScope(int ordinal, std::nothrow_t) noexcept {
    exchanged_ = cudaThreadExchangeStreamCaptureMode(&mode_) == cudaSuccess;
    status_ = cudaGetDevice(&before_);
    if (status_ == cudaSuccess && before_ != ordinal) {
      status_ = cudaSetDevice(ordinal);
      changed_ = status_ == cudaSuccess;
    }
    if (status_ != cudaSuccess || !exchanged_) cudaGetLastError();
  }
  ~DeviceScope() {
    if (changed_) ignore(cudaSetDevice(before_));
    if (exchanged_) ignore(cudaThreadExchangeStreamCaptureMode(&mode_));
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;  // becomes the thread's own
  int before_ = 0;
  cudaError_t status_ = cudaSuccess;
  bool exchanged_ = false, changed_ = false;
};

// What becomes of the launches of a thread while it lives, instead of launching.
class LaunchSink {
 public:
  LaunchSink() : outer_(current) { current = this; }
  virtual ~LaunchSink() { current = outer_; }
  LaunchSink(const LaunchSink&) = delete;
  LaunchSink& operator=(const LaunchSink&) = delete;

  static LaunchSink* of_this_thread() { return current; }

  // The arguments are copied.
  virtual void take(const cudaKernelNodeParams& launch) = 0;

 private:
  static thread_local LaunchSink* current;
  LaunchSink* outer_;
};

thread_local LaunchSink* LaunchSink::current = nullptr;

// A graph of kernels, each behind the one before, and what runs it.
class CudaGraph final : public Recording {
 public:
  // overlaps: kernels may begin before those in front of them have ended, and wait for that themselves.
  CudaGraph(int ordinal, bool overlaps, const std::function<void(Stream)>& work, Stream stream)
      : ordinal_(ordinal), overlaps_(overlaps) {
    check(cudaGraphCreate(&graph_, 0), "cudaGraphCreate");
    try {
      Builder builder(*this);
      work(stream);
      instantiate();
    } catch (...) {
      ignore(cudaGraphDestroy(graph_));
      throw;
    }
  }
  ~CudaGraph() override {
    const DeviceScope scope(ordinal_, std::nothrow);
    ignore(cudaGraphExecDestroy(executable_));
    ignore(cudaGraphDestroy(graph_));
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void replay(Stream stream) override {
    const DeviceScope scope(ordinal_);
    check(cudaGraphLaunch(executable_, static_cast<cudaStream_t>(stream)), "cudaGraphLaunch");
  }
  void update(size_t number, const std::function<void(Stream)>& work) override {
    const DeviceScope scope(ordinal_);
    Updater updater(*this, number);
    work(nullptr);
  }

 private:
  // A stream is not captured for it: what other threads do to the device meanwhile, as waiting for all of it, breaks captures.
  class Builder final : public LaunchSink {
   public:
    explicit Builder(CudaGraph& graph) : graph_(graph) {}
    void take(const cudaKernelNodeParams& launch) override { graph_.add(launch); }

   private:
    CudaGraph& graph_;
  };
  class Updater final : public LaunchSink {
   public:
    Updater(CudaGraph& graph, size_t number) : graph_(graph), number_(number) {}
    void take(const cudaKernelNodeParams& launch) override {
      check(cudaGraphExecKernelNodeSetParams(graph_.executable_, graph_.nodes_.at(number_), &launch),
            "cudaGraphExecKernelNodeSetParams");
    }

   private:
    CudaGraph& graph_;
    size_t number_;
  };

  void add(const cudaKernelNodeParams& launch) {
    cudaGraphNode_t node = nullptr;
    cudaGraphNode_t before = nodes_.empty() ? nullptr : nodes_.back();
    const bool waits_for_end = before != nullptr && !overlaps_;
    check(cudaGraphAddKernelNode(&node, graph_, &before, waits_for_end ? 1 : 0, &launch),
          "cudaGraphAddKernelNode");
    nodes_.push_back(node);
    if (before != nullptr && overlaps_) add_overlap(before, node);
  }

#if CUDART_VERSION >= 12030
  void add_overlap(cudaGraphNode_t before, cudaGraphNode_t node) {
    cudaGraphEdgeData edge{};
    edge.from_port = cudaGraphKernelNodePortProgrammatic;
    edge.type = cudaGraphDependencyTypeProgrammatic;
#if CUDART_VERSION < 13000
    constexpr auto cudaGraphAddDependencies = cudaGraphAddDependencies_v2;  // its name there
#endif
    check(cudaGraphAddDependencies(graph_, &before, &node, &edge, 1), "cudaGraphAddDependencies");
  }
#else  // without an overlap
  void add_overlap(cudaGraphNode_t before, cudaGraphNode_t node) {
    check(cudaGraphAddDependencies(graph_, &before, &node, 1), "cudaGraphAddDependencies");
  }
#endif

  void instantiate() {
#if CUDART_VERSION >= 11040
    const cudaError_t status = cudaGraphInstantiateWithFlags(&executable_, graph_, 0);
#else  // JetPack 4 has CUDA 10.2
    const cudaError_t status = cudaGraphInstantiate(&executable_, graph_, nullptr, nullptr, 0);
#endif
    check(status, "cudaGraphInstantiate");
  }

  int ordinal_;
  bool overlaps_;
  cudaGraph_t graph_ = nullptr;
  std::vector<cudaGraphNode_t> nodes_;
  cudaGraphExec_t executable_ = nullptr;
};

class CudaEvent final : public Event {
 public:
  explicit CudaEvent(int ordinal, unsigned flags = cudaEventDisableTiming) : ordinal_(ordinal) {
    const DeviceScope scope(ordinal_);
    check(cudaEventCreateWithFlags(&event_, flags), "cudaEventCreate");
  }
  ~CudaEvent() override {
    const DeviceScope scope(ordinal_, std::nothrow);
    ignore(cudaEventDestroy(event_));
  }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  void record(Stream stream) override {
    const DeviceScope scope(ordinal_);
    check(cudaEventRecord(event_, static_cast<cudaStream_t>(stream)), "cudaEventRecord");
  }
  void hold(Stream stream) override {
    const DeviceScope scope(ordinal_);
    check(cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), event_, 0), "cudaStreamWaitEvent");
  }
  void synchronise() override {
    const DeviceScope scope(ordinal_);
    check(cudaEventSynchronize(event_), "cudaEventSynchronize");
  }
  // Both with clocks, and reached.
  double seconds_since(const CudaEvent& earlier) const {
    const DeviceScope scope(ordinal_);
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "cudaEventElapsedTime");
    return double{milliseconds} * 1e-3;
  }

 private:
  int ordinal_;
  cudaEvent_t event_ = nullptr;
};

// Throws unless there is such a device.
int check_ordinal(int ordinal) {
  int devices = 0;
  const std::string what = "device 'cuda:" + std::to_string(ordinal) + "' is not available";
  check(cudaGetDeviceCount(&devices), what.c_str());
  if (ordinal < devices) return ordinal;
  throw DeviceError("device: got 'cuda:" + std::to_string(ordinal) + "', this machine has " +
                    std::to_string(devices) + " CUDA device" + (devices == 1 ? "" : "s"));
}

// Memory that others were given, and which could not be freed yet. By device.
struct Unfreed {
  std::mutex mutex;
  std::map<int, std::vector<void*>> memory;
};

Unfreed& unfreed() {
  static auto* const of_this_process = new Unfreed;  // outlives whatever is freed at exit
  return *of_this_process;
}

// Frees the memory, if any, and all that is still to be freed on this device, the current one: after waiting for all work of
// the device, as one of its streams may use it. Where that fails, as it does while somebody captures a stream, the memory is
// kept for a later call. Returns whether any was freed.
bool free_idle(int ordinal, void* memory) {
  std::vector<void*> all;
  {
    const std::lock_guard<std::mutex> lock(unfreed().mutex);
    all.swap(unfreed().memory[ordinal]);
  }
  if (memory != nullptr) all.push_back(memory);
  if (all.empty()) return false;
  const cudaError_t status = cudaDeviceSynchronize();
  if (status == cudaSuccess) {
    for (void* each : all) ignore(cudaFree(each));
    return true;
  }
  ignore(status);
  const std::lock_guard<std::mutex> lock(unfreed().mutex);
  auto& kept = unfreed().memory[ordinal];
  kept.insert(kept.end(), all.begin(), all.end());
  return false;
}

class CudaRuntime final : public Runtime {
 public:
  explicit CudaRuntime(int ordinal) : ordinal_(check_ordinal(ordinal)) {
    const DeviceScope scope(ordinal_);
    cudaDeviceProp device{};
    check(cudaGetDeviceProperties(&device, ordinal_), "cudaGetDeviceProperties");
    const auto capability = [](int major, int minor) {
      return "compute capability " + std::to_string(major) + "." + std::to_string(minor);
    };
    std::string name = device.name;
    const std::string what =
        name + ", " + capability(device.major, device.minor) + ", is not among this build's architectures";
    int compiled_for = 0;
    check(load_kernels(&compiled_for), what.c_str());
    // What kernels may do goes by the instructions that they have, not by those that the device has.
    const int major = std::min(device.major, compiled_for / 10);
    if (major < device.major) name += ", with code for " + capability(compiled_for / 10, compiled_for % 10);
    properties_ = {name, ordinal_, device.multiProcessorCount, static_cast<int64_t>(device.totalGlobalMem),
                   major >= 8};
    overlaps_ = major >= 9;
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  ~CudaRuntime() override {
    const DeviceScope scope(ordinal_, std::nothrow);
    ignore(cudaStreamDestroy(stream_));
  }
  CudaRuntime(const CudaRuntime&) = delete;
  CudaRuntime& operator=(const CudaRuntime&) = delete;

  const DeviceProperties& properties() const override { return properties_; }
  const KernelTable<float>& kernels() const override { return float_kernels(); }
  const KernelTable<__half>& half_kernels() const override { return cuda::half_kernels(); }
  const IntegerKernelTable& integer_kernels() const override { return cuda::integer_kernels(); }

  void* allocate(size_t bytes) override {
    const DeviceScope scope(ordinal_);
    void* memory = nullptr;
    cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation && free_idle(ordinal_, nullptr)) {
      cudaGetLastError();
      status = cudaMalloc(&memory, bytes);
    }
    if (status != cudaSuccess) {
      size_t free = 0, all = 0;
      cudaMemGetInfo(&free, &all);
      const std::string what = "cudaMalloc of " + std::to_string(bytes) + " bytes, where " +
                               std::to_string(free) + " of " + std::to_string(all) + " are free";
      check(status, what.c_str());
    }
    return memory;
  }
  void free(void* memory) noexcept override {
    const DeviceScope scope(ordinal_, std::nothrow);
    ignore(cudaFree(memory));
  }
  void free_shared(void* memory) noexcept override {
    try {
      const DeviceScope scope(ordinal_);
      free_idle(ordinal_, memory);
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): it stays allocated, perhaps in use
    }
  }
  std::string elsewhere(const void* memory) const override {
    const DeviceScope scope(ordinal_);
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, memory), "cudaPointerGetAttributes");
    switch (attributes.type) {
      case cudaMemoryTypeDevice:
        return attributes.device == ordinal_ ? "" : "on cuda:" + std::to_string(attributes.device);
      case cudaMemoryTypeManaged:
        return "";
      case cudaMemoryTypeHost:
        return attributes.devicePointer == memory ? "" : "in pinned host memory with another address";
      default:
        return "in host memory";
    }
  }

  void upload(void* to, const void* from, size_t bytes) override {
    const DeviceScope scope(ordinal_);
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpy to the device");
    // Of memory that the driver cannot reach by itself the copy is made before the call returns; the caller's may be
    // pinned.
    synchronise();
  }
  void download(void* to, const void* from, size_t bytes) override {
    const DeviceScope scope(ordinal_);
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "cudaMemcpy from the device");
    synchronise();
  }
  void clear(void* at, size_t bytes) override {
    const DeviceScope scope(ordinal_);
    check(cudaMemsetAsync(at, 0, bytes, stream_), "cudaMemset");
  }
  void synchronise() override {
    const DeviceScope scope(ordinal_);
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }
  Stream stream() const override { return stream_; }

  void check_stream(Stream stream) const override {
    const DeviceScope scope(ordinal_);
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    check(cudaStreamIsCapturing(static_cast<cudaStream_t>(stream), &status), "cudaStreamIsCapturing");
    if (status == cudaStreamCaptureStatusNone) return;
    throw DeviceError(
        "stream: is being captured; runs wait for runs on other streams, and cannot be captured");
  }
  std::unique_ptr<Event> make_event() override { return std::make_unique<CudaEvent>(ordinal_); }
  void launch(Stream stream, const std::function<void(Stream)>& work) override {
    const DeviceScope scope(ordinal_);
    work(stream);
  }
  std::unique_ptr<Recording> record(const std::function<void(Stream)>& work) override {
    const DeviceScope scope(ordinal_);
    return std::make_unique<CudaGraph>(ordinal_, overlaps_, work, stream_);
  }
  double seconds(Recording& recording, int replays) override {
    CudaEvent begin(ordinal_, cudaEventDefault), end(ordinal_, cudaEventDefault);
    recording.replay(stream_);
    begin.record(stream_);
    for (int i = 0; i < replays; ++i) recording.replay(stream_);
    end.record(stream_);
    end.synchronise();
    return end.seconds_since(begin);
  }

 private:
  int ordinal_;
  DeviceProperties properties_;
  bool overlaps_ = false;  // see kernels/device.h, wait_for_earlier_kernels()
  cudaStream_t stream_ = nullptr;
};

}  // namespace

void launch_kernel(const void* kernel, dim3 grid, unsigned threads, size_t dynamic_bytes, void** arguments,
                   void* stream) {
  if (LaunchSink* const sink = LaunchSink::of_this_thread()) {
    cudaKernelNodeParams launch{};
    launch.func = const_cast<void*>(kernel);
    launch.gridDim = grid;
    launch.blockDim = dim3(threads);
    launch.sharedMemBytes = static_cast<unsigned>(dynamic_bytes);
    launch.kernelParams = arguments;
    return sink->take(launch);
  }
  check(cudaLaunchKernel(kernel, grid, dim3(threads), arguments, dynamic_bytes,
                         static_cast<cudaStream_t>(stream)),
        "launch");
}

std::unique_ptr<Runtime> make_cuda_runtime(int ordinal) { return std::make_unique<CudaRuntime>(ordinal); }

}  // namespace squish::cuda
