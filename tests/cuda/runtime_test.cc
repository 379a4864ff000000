// The runtime over CUDA's, what it calls and in which state: over a fake that has no device.
#include "cuda/runtime.h"

#include <gtest/gtest.h>

#include <thread>

#include "cuda/runtime_check.h"
#include "squish/error.h"
#include "support/fake_cuda.h"
#include "support/throws.h"

namespace squish::cuda {
namespace {

using testing::fake_cuda;
using testing::FakeCuda;
using testing::throws;

// What stands for kernels: addresses.
constexpr char kKernels[3] = {};

void launch(int kernel, int argument, Stream stream) {
  void* arguments[] = {&argument};
  launch_kernel(kKernels + kernel, dim3(7, 2, 3), 64, 5, arguments, stream);
}

class CudaRuntimeCalls : public ::testing::Test {
 protected:
  CudaRuntimeCalls() {
    fake_cuda() = {};
    runtime = make_cuda_runtime(0);
    fake_cuda().calls.clear();
  }
  ~CudaRuntimeCalls() override {
    fake_cuda().fails.clear();
    runtime->free_shared(address(99));  // with what a test left
  }
  static void* address(uintptr_t number) { return reinterpret_cast<void*>(number); }

  std::unique_ptr<Runtime> runtime;
};

TEST_F(CudaRuntimeCalls, TimesReplaysByEventsAroundThemOnTheDevice) {
  runtime = make_cuda_runtime(1);
  const auto recording = runtime->record([](Stream stream) { launch(0, 10, stream); });
  FakeCuda& fake = fake_cuda();
  fake.calls.clear();
  fake.milliseconds = 7;
  EXPECT_DOUBLE_EQ(runtime->seconds(*recording, 3), 7 * 1e-3);
  std::vector<std::string> names;
  for (const FakeCuda::Call& call : fake.calls) {
    names.push_back(call.name);
    EXPECT_EQ(call.device, 1) << call.name;
    EXPECT_EQ(call.mode, cudaStreamCaptureModeRelaxed) << call.name;
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "cudaEventCreateWithFlags", "cudaEventCreateWithFlags", "cudaGraphLaunch", "cudaEventRecord",
                "cudaGraphLaunch", "cudaGraphLaunch", "cudaGraphLaunch", "cudaEventRecord",
                "cudaEventSynchronize", "cudaEventElapsedTime", "cudaEventDestroy", "cudaEventDestroy"}));
  fake.fails["cudaEventElapsedTime"] = cudaErrorUnknown;
  EXPECT_TRUE(throws<DeviceError>([&] { runtime->seconds(*recording, 1); }, "cudaEventElapsedTime"));
}

TEST_F(CudaRuntimeCalls, RecordingAddsEachLaunchBehindTheOneBefore) {
  const auto recording = runtime->record([](Stream stream) {
    launch(0, 10, stream);
    launch(1, 11, stream);
    launch(2, 12, stream);
  });
  FakeCuda& fake = fake_cuda();
  EXPECT_FALSE(fake.called("cudaLaunchKernel"));
  ASSERT_EQ(fake.nodes.size(), 3u);
  for (size_t k = 0; k < 3; ++k) {
    const FakeCuda::Node& node = fake.nodes[k];
    EXPECT_EQ(node.kernel, kKernels + k);
    EXPECT_EQ(node.argument, static_cast<int>(10 + k));
    EXPECT_EQ(node.grid.x * 100 + node.grid.y * 10 + node.grid.z, 723u);
    EXPECT_EQ(node.threads.x * 100 + node.threads.y * 10 + node.threads.z, 6411u);
    EXPECT_EQ(node.dynamic_bytes, 5u);
    std::vector<cudaGraphNode_t> before;  // its number, from 1
    if (k > 0) before = {reinterpret_cast<cudaGraphNode_t>(k)};
    EXPECT_EQ(node.after, before);
    EXPECT_FALSE(node.overlaps);
  }
  recording->replay(nullptr);
  EXPECT_TRUE(fake.called("cudaGraphLaunch"));
  launch(0, 10, nullptr);
  EXPECT_TRUE(fake.called("cudaLaunchKernel")) << "it is over";
}

TEST_F(CudaRuntimeCalls, RecordingLetsKernelsOverlapWhereTheDeviceDoes) {
  fake_cuda().major = 9;
  fake_cuda().compiled_for = 90;
  runtime = make_cuda_runtime(0);
  runtime->record([](Stream stream) {
    for (int k = 0; k < 3; ++k) launch(k, k, stream);
  });
  const auto& nodes = fake_cuda().nodes;
  ASSERT_EQ(nodes.size(), 3u);
  for (size_t k = 0; k < 3; ++k) {
    std::vector<cudaGraphNode_t> before;
    if (k > 0) before = {reinterpret_cast<cudaGraphNode_t>(k)};
    EXPECT_EQ(nodes[k].after, before);
    EXPECT_EQ(nodes[k].overlaps, k > 0);
  }
}

// As the driver makes it for newer devices than a build names.
TEST_F(CudaRuntimeCalls, CodeForOlderDevicesDoesNoMoreThanItDidThere) {
  struct Case {
    int major, compiled_for;
    bool tensor_cores;
    const char* name;
  };
  for (const Case& one : {Case{9, 80, true, "fake, with code for compute capability 8.0"},
                          Case{9, 75, false, "fake, with code for compute capability 7.5"},
                          Case{8, 75, false, "fake, with code for compute capability 7.5"},
                          Case{8, 80, true, "fake"}, Case{7, 75, false, "fake"}}) {
    fake_cuda() = {};
    fake_cuda().major = one.major;
    fake_cuda().compiled_for = one.compiled_for;
    runtime = make_cuda_runtime(0);
    EXPECT_EQ(runtime->properties().name, one.name);
    EXPECT_EQ(runtime->properties().tensor_cores, one.tensor_cores) << one.name;
    runtime->record([](Stream stream) {
      launch(0, 0, stream);
      launch(1, 1, stream);
    });
    EXPECT_FALSE(fake_cuda().nodes[1].overlaps) << one.name << ": its kernels do not wait for earlier ones";
  }
}

TEST_F(CudaRuntimeCalls, RecordingIsUpdatedLaunchByLaunch) {
  const auto recording = runtime->record([](Stream stream) {
    launch(0, 10, stream);
    launch(1, 11, stream);
  });
  recording->update(1, [](Stream stream) { launch(1, 21, stream); });
  EXPECT_EQ(fake_cuda().nodes[0].argument, 10);
  EXPECT_EQ(fake_cuda().nodes[1].argument, 21);
  EXPECT_FALSE(fake_cuda().called("cudaLaunchKernel"));
  fake_cuda().fails = {{"cudaGraphExecKernelNodeSetParams", cudaErrorInvalidValue}};
  EXPECT_TRUE(throws<DeviceError>([&] { recording->update(0, [](Stream s) { launch(0, 1, s); }); },
                                  "cudaGraphExecKernelNodeSetParams"));
}

TEST_F(CudaRuntimeCalls, RecordingLeavesOtherThreadsAlone) {
  runtime->record([](Stream) { std::thread([] { launch(0, 10, nullptr); }).join(); });
  EXPECT_TRUE(fake_cuda().called("cudaLaunchKernel"));
  EXPECT_TRUE(fake_cuda().nodes.empty());
}

TEST_F(CudaRuntimeCalls, RecordingThatFailsIsOver) {
  for (const char* call : {"cudaGraphCreate", "cudaGraphAddKernelNode", "cudaGraphInstantiate"}) {
    fake_cuda().fails = {{call, cudaErrorMemoryAllocation}};
    fake_cuda().calls.clear();
    EXPECT_TRUE(throws<DeviceError>([&] { runtime->record([](Stream s) { launch(0, 10, s); }); }, call));
    EXPECT_EQ(fake_cuda().called("cudaGraphDestroy"), std::string(call) != "cudaGraphCreate");
    EXPECT_EQ(fake_cuda().last_error, cudaSuccess);
    launch(0, 10, nullptr);
    EXPECT_TRUE(fake_cuda().called("cudaLaunchKernel")) << call;
  }
}

TEST_F(CudaRuntimeCalls, LaunchTellsItsOwnErrorOnly) {
  fake_cuda().last_error = cudaErrorInvalidValue;  // of the caller, who has not looked yet
  EXPECT_NO_THROW(launch(0, 10, nullptr));
  EXPECT_EQ(fake_cuda().last_error, cudaErrorInvalidValue);
  fake_cuda().fails = {{"cudaLaunchKernel", cudaErrorLaunchOutOfResources}};
  EXPECT_TRUE(throws<DeviceError>([] { launch(0, 10, nullptr); }, "launch"));
}

TEST_F(CudaRuntimeCalls, SharedMemoryIsFreedOnlyAfterTheDeviceWasWaitedFor) {
  FakeCuda& fake = fake_cuda();
  fake.fails = {{"cudaDeviceSynchronize", cudaErrorStreamCaptureUnsupported}};
  runtime->free_shared(address(1));
  runtime->free_shared(address(2));
  EXPECT_TRUE(fake.freed.empty());
  EXPECT_EQ(fake.last_error, cudaSuccess) << "the caller's next look at it finds none of ours";
  runtime->free(address(3));
  EXPECT_EQ(fake.freed, std::vector<void*>({address(3)}));
  fake.fails.clear();
  runtime->free_shared(address(4));
  EXPECT_EQ(fake.freed, std::vector<void*>({address(3), address(1), address(2), address(4)}));
}

TEST_F(CudaRuntimeCalls, MemoryThatIsStillToBeFreedIsTriedWhereThereIsTooLittle) {
  FakeCuda& fake = fake_cuda();
  fake.fails = {{"cudaDeviceSynchronize", cudaErrorStreamCaptureUnsupported}};
  runtime->free_shared(address(1));
  fake.fails = {{"cudaMalloc", cudaErrorMemoryAllocation}};
  fake.calls.clear();
  EXPECT_TRUE(throws<DeviceError>([&] { runtime->allocate(8); }, "cudaMalloc of 8 bytes"));
  EXPECT_EQ(fake.freed, std::vector<void*>({address(1)}));
  const auto tries = std::count_if(fake.calls.begin(), fake.calls.end(),
                                   [](const FakeCuda::Call& call) { return call.name == "cudaMalloc"; });
  EXPECT_EQ(tries, 2);
}

// Whatever is asked for, by a thread that is on another device and captures.
TEST_F(CudaRuntimeCalls, EverythingRunsOnItsDeviceAndBreaksNoCapture) {
  FakeCuda& fake = fake_cuda();
  fake.device = 1;
  const auto expect_put_back = [&](const std::string& what) {
    EXPECT_EQ(fake.device, 1) << what;
    EXPECT_EQ(fake.mode, cudaStreamCaptureModeGlobal) << what;
    EXPECT_FALSE(fake.calls.empty()) << what;
    for (const FakeCuda::Call& call : fake.calls) {
      EXPECT_EQ(call.device, 0) << what << ": " << call.name;
      EXPECT_EQ(call.mode, cudaStreamCaptureModeRelaxed) << what << ": " << call.name;
    }
    fake.calls.clear();
  };
  char host[4];
  runtime->allocate(4), expect_put_back("allocate");
  runtime->free(address(1)), expect_put_back("free");
  runtime->free_shared(address(1)), expect_put_back("free_shared");
  runtime->elsewhere(host), expect_put_back("elsewhere");
  runtime->upload(address(1), host, 4), expect_put_back("upload");
  runtime->download(host, address(1), 4), expect_put_back("download");
  runtime->clear(address(1), 4), expect_put_back("clear");
  runtime->synchronise(), expect_put_back("synchronise");
  runtime->check_stream(nullptr), expect_put_back("check_stream");
  auto event = runtime->make_event();
  expect_put_back("make_event");
  event->record(nullptr), expect_put_back("record an event");
  event->hold(nullptr), expect_put_back("hold");
  event->synchronise(), expect_put_back("synchronise with an event");
  event.reset(), expect_put_back("an event that goes");
  runtime->launch(nullptr, [](Stream s) { launch(0, 10, s); }), expect_put_back("launch");
  auto recording = runtime->record([](Stream s) { launch(0, 10, s); });
  expect_put_back("record");
  recording->replay(nullptr), expect_put_back("replay");
  recording.reset(), expect_put_back("a recording that goes");
  fake.fails = {{"cudaMemsetAsync", cudaErrorInvalidValue}};
  EXPECT_THROW(runtime->clear(address(1), 4), DeviceError);
  expect_put_back("an error");
  auto other = make_cuda_runtime(0);
  expect_put_back("make_cuda_runtime");
  other.reset(), expect_put_back("a runtime that goes");
}

TEST_F(CudaRuntimeCalls, ADeviceThatCannotBeChosenIsSaidAndLeavesTheThreadAsItWas) {
  FakeCuda& fake = fake_cuda();
  fake.device = 1;
  fake.fails = {{"cudaSetDevice", cudaErrorDevicesUnavailable}};
  EXPECT_TRUE(throws<DeviceError>([&] { runtime->synchronise(); }, "cudaSetDevice"));
  EXPECT_EQ(fake.mode, cudaStreamCaptureModeGlobal);
  EXPECT_EQ(fake.last_error, cudaSuccess);
}

}  // namespace
}  // namespace squish::cuda
