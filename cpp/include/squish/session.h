// Runs a Model. One thread at a time calls a session; sessions side by side share nothing but the model. The caller's way
// of rounding and of treating denormal values changes no result.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "squish/model.h"

namespace squish {

struct SessionOptions {
  // "cpu"; "reference": plain loops, in double precision or, to the bit, in integers: the truth that tests compare with; or,
  // in builds with CUDA, "cuda" and "cuda:1", ... Throws DeviceError where there is no such device.
  std::string device = "cpu";
  // Threads that compute, the calling one included; obeyed exactly. At least 1, and 1 on the other devices, which have
  // no use for more. Results do not depend on it. More than the cores that the session's maker is bound to are slower than
  // as many. A child of fork() starts its own in its first run() or prepare(), provided that no thread was in a call of the
  // session meanwhile.
  int threads = 1;
  // CPU instruction set: "avx512", "avx2", "neon", "scalar"; empty: $SQUISH_FORCE_ISA if set, else the best here.
  // Throws DeviceError when it is absent, InvalidArgument on other devices, which have none: nothing falls back in
  // silence.
  std::string isa;
  // Dense 3x3 convolutions take 2.25 times fewer multiplications in Winograd's F(2x2, 3x3), at a few times the
  // rounding error. false: all convolutions are computed directly.
  bool winograd = true;
  // How activations and weights lie in the device's memory, and are computed with; Session::options() says what "auto" is.
  // "f32" computes any file in floats. "i8", of a file that is made for integer arithmetic (Model::why_not_in_integers):
  // activations in bytes, weights in int8, the same results on every CPU and GPU, to the bit. "auto" on "cpu": of such a
  // file, the one of these two that is forecast to be faster with this instruction set, which without dot products of bytes
  // (VNNI, Arm's) depends on the weights; of others "f32". On "reference": "i8" where the file is made for it. On CUDA: "f32",
  // as no GPU has measured which is faster.
  // On CUDA there is also "f16", which halves the traffic and rounds each activation and weight to f16. Sums stay in
  // float32; on devices without tensor cores (before 8.0) up to 32 products are added in f16 first, two at once, and one
  // beyond 65504 becomes infinite. Batches and results are as ever. Throws InvalidArgument on other names, on what the
  // device or the file does not have, and on a weight that f16 does not hold.
  std::string storage = "auto";
  // On CUDA: kernels and their tiles are chosen by measuring them on the device for each pair of image and batch size, not
  // by a model that knows little more of a device than its number of multiprocessors. That is done once for a pair, by the
  // first call that needs its plan (explain() and profile() need that of one image, and show what was measured), and kept for
  // the session: about a second, of large batches up to some ten and what forty runs take, with the device to itself at best.
  // It may take more memory than the plan that is chosen; where there is not so much, less is tried. Sessions may then
  // choose differently, and on tensor cores floats be added in another order: last bits may differ between sessions, not
  // within one. Throws InvalidArgument on other devices.
  bool tune = false;
};

enum class PixelFormat : uint8_t {
  kF32Nchw,  // float32 [N][C][H][W], normalised by the caller
  kU8Nhwc,   // uint8   [N][H][W][C], 0..255; the session normalises with the file's mean and std
};

// A batch of images that the caller owns, contiguous in memory.
struct ImageBatch {
  const void* data = nullptr;
  PixelFormat format = PixelFormat::kF32Nchw;
  int64_t count = 0;  // N, at least 1
  int height = 0, width = 0;
};

// One row of explain() and profile(): what the plan runs in this place and why.
struct StepInfo {
  std::string layer;   // "fire5/expand"
  std::string kernel;  // "f32_cluster_16x1_avx512"
  std::string why;     // "15 % of clusters live"
  Shape output;
  double density = 1;          // weights that live / all, of the layers' own (not of padding)
  double cluster_density = 1;  // 16x1 clusters that live / all
  int64_t macs = 0;            // multiply-adds the mathematics needs, dense, for one image
  int64_t macs_run = 0;        // multiply-adds the kernel does, padding included
  double seconds = 0;          // profile() only: per image, minimum over the runs
};

// Bytes of memory, without what is small beside them: names, plans, what the system keeps of threads.
struct MemoryUse {
  int64_t model = 0;        // Model::memory_bytes(): host memory, which all sessions of the model share
  int64_t weights = 0;      // as the kernels read them; this and what follows is memory of the device
  int64_t activations = 0;  // of all threads
  int64_t scratch = 0;      // of all threads: what kernels need beside

  int64_t total() const { return model + weights + activations + scratch; }
};

// Memory of a session's device. May outlive the session. Made by Session::allocate().
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // Waits for all work of the device, as others may have been given the memory.
  virtual ~DeviceBuffer() = default;
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  virtual void* data() const = 0;
  // What the stream's work so far writes is the buffer's content ...
  virtual void written_on(void* stream) = 0;
  // ... for which all that comes later on this stream waits. The stream of written_on() may be gone by then. Throws
  // DeviceError where this one is being captured.
  virtual void hold(void* stream) = 0;
};

class Session {
 public:
  // Throws InvalidArgument on bad options, DeviceError on an absent device or instruction set.
  explicit Session(std::shared_ptr<const Model> model, const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  // Computes the output of every image of the batch into `output`, float [N][output_shape(height, width)];
  // for a classifier [N][classes]. Allocates nothing where the image size is one of the four used last; another
  // one is planned, and may take more memory. (On CUDA: where the sizes of image and batch are one of the eight pairs
  // used last.) Throws InvalidArgument on sizes that the net does not admit and on input that is not finite; `output`
  // then holds anything.
  void run(const ImageBatch& input, float* output);

  // Prepares for batches of so many images of this size as run() does, so that the first run() with it allocates nothing.
  // Only on CUDA does the count matter.
  void prepare(int height, int width, int64_t count = 1);

  // The n of device "cuda:n", 0 for "cuda"; nothing for devices whose memory is the host's. What follows throws
  // DeviceError where there is none.
  std::optional<int> device_number() const;

  // run() for memory of the device: input.data and output point to memory that the device's kernels reach (its own,
  // managed, pinned), float32 aligned to 4 bytes; output lies apart from the input. Nothing is copied.
  //
  // ASYNCHRONOUS. The work is put on `stream`, a cudaStream_t of the device (null: the legacy default stream), behind
  // what is there, and the call returns without waiting for any of it. It takes no memory, of the host or the device,
  // where run() would take none: for the eight pairs of image and batch size used or prepared last. Another pair is
  // planned, which waits for this session's work.
  // OWNERSHIP. Both arrays are the caller's, who keeps them alive, the input as it is, and looks at the output only
  // after the stream has done this work: in later work of the stream, or after waiting for it. The stream is the
  // caller's, too; it may be destroyed at once after the call.
  // SEVERAL STREAMS. Runs of one session share its activations: each waits, on the device, for the end of the one before,
  // whatever their streams, run() among them. Sessions of their own run side by side. As with run(), one thread
  // calls a session at a time.
  //
  // Throws InvalidArgument on sizes that the net does not admit and on memory that lies elsewhere, both before
  // anything is put on the stream; DeviceError where the device fails or the stream is being captured. The session stays
  // usable, unless the device itself is lost. Input that is not finite is seen by synchronise().
  void enqueue(const ImageBatch& input, float* output, void* stream);
  // Throws DeviceError where enqueue() would, as the stream is being captured. For who does something with the stream or
  // asks for memory before, which could break the capture.
  void check_stream(void* stream) const;
  // Waits for all that was enqueued. Throws InvalidArgument if a value of its input was not finite, of any batch since
  // the call before.
  void synchronise();
  // Memory of the device, at least 1 byte.
  std::unique_ptr<DeviceBuffer> allocate(size_t bytes);
  // What comes later on `stream` waits for what is on `earlier` now. Neither does the caller.
  void order(void* stream, void* earlier);

  const Model& model() const;
  const SessionOptions& options() const;
  const std::string& isa() const;  // "avx512", ...; "" on devices without one

  // The plan for images of this size, one entry a step. As run(), these three plan a size that is not one of those used
  // last, which then is one; explain() and memory() without taking the memory.
  std::vector<StepInfo> explain(int height, int width);
  // The same with the time that each step took: the minimum over `iterations` runs of the batch.
  std::vector<StepInfo> profile(const ImageBatch& input, int iterations);
  // What the session holds once it has run batches of images of this size and no larger ones; on CUDA, of one image. The
  // device "reference" has nothing but the model between runs.
  MemoryUse memory(int height, int width);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Instruction sets that this build has and this CPU runs, best first.
std::vector<std::string> available_isas();

// "0.1.0"
const char* version();

}  // namespace squish
