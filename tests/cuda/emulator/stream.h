// Streams as CUDA has them: work in order, done later, and only where somebody waits for it or lets it go on. So what a
// caller forgets to order happens in an order that shows it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace squish::emulator {

// How far a stream has come; outlives it.
struct Progress {
  class Stream* stream;
  int64_t added, done;
};

class Stream {
 public:
  enum class Work : uint8_t { kDone, kDropped };
  // kDropped: work that it is given is forgotten, and takes no memory.
  explicit Stream(Work work = Work::kDone)
      : drops_(work == Work::kDropped), progress_(std::make_shared<Progress>(Progress{this, 0, 0})) {}
  ~Stream();  // finishes, as CUDA does when a stream is destroyed
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void add(std::function<void()> work);
  bool drops() const { return drops_; }
  // Its work, which it then no longer has.
  std::vector<std::function<void()>> take();

  // The point where its work ends now.
  class Point {
   public:
    Point() = default;  // one that is always reached
    explicit Point(const Stream& stream) : progress_(stream.progress_), count_(stream.progress_->added) {}
    bool reached() const { return progress_ == nullptr || progress_->done >= count_; }
    // Lets its stream go on so far, and no further.
    void reach() const;

   private:
    friend class Stream;
    std::shared_ptr<Progress> progress_;
    int64_t count_ = 0;
  };
  // What is added from now on waits for the point.
  void hold(const Point& point);

  // Does one piece of work; false where there is none, or it must wait.
  bool step();
  bool idle() const { return pieces_.empty(); }

 private:
  struct Piece {
    std::function<void()> work;
    Point after;
  };
  void finish_first();

  bool drops_;
  std::deque<Piece> pieces_;
  std::shared_ptr<Progress> progress_;
};

// Puts the work on a Stream, or, where `stream` is null, does it at once.
template <typename Work>
void run_on(void* stream, const Work& work) {
  if (stream == nullptr) return work();
  auto* const later = static_cast<Stream*>(stream);
  if (!later->drops()) later->add(work);
}

// One piece of each in turn, the last stream first, until none can go on.
void take_turns(const std::vector<Stream*>& streams);

}  // namespace squish::emulator
