#include "emulator/stream.h"

#include <utility>

namespace squish::emulator {

Stream::~Stream() {
  while (!idle()) {
    pieces_.front().after.reach();
    finish_first();
  }
  progress_->stream = nullptr;
}

void Stream::add(std::function<void()> work) {
  pieces_.push_back({std::move(work), {}});
  ++progress_->added;
}

std::vector<std::function<void()>> Stream::take() {
  std::vector<std::function<void()>> works;
  for (Piece& piece : pieces_) works.push_back(std::move(piece.work));
  pieces_.clear();
  progress_->added = progress_->done;
  return works;
}

void Stream::hold(const Point& point) {
  if (drops_) return;
  pieces_.push_back({[] {}, point});
  ++progress_->added;
}

bool Stream::step() {
  if (idle() || !pieces_.front().after.reached()) return false;
  finish_first();
  return true;
}

// Done even where it throws: what waits for it would wait for ever.
void Stream::finish_first() {
  const Piece piece = std::move(pieces_.front());
  pieces_.pop_front();
  ++progress_->done;
  piece.work();
}

void Stream::Point::reach() const {
  while (!reached()) {
    Stream& stream = *progress_->stream;
    stream.pieces_.front().after.reach();
    stream.finish_first();
  }
}

void take_turns(const std::vector<Stream*>& streams) {
  for (bool went_on = true; went_on;) {
    went_on = false;
    for (auto stream = streams.rbegin(); stream != streams.rend(); ++stream) went_on |= (*stream)->step();
  }
}

}  // namespace squish::emulator
