#include "format/ans.h"

#include <algorithm>

namespace squish {
namespace {

constexpr uint32_t kLowest = kLowestAnsState;
constexpr size_t kStateBytes = 4;

}  // namespace

void AnsEncoder::code(AdaptiveBit& model, bool& bit) {
  const uint32_t one = model.one(), all = 1u << AdaptiveBit::kPrecision;
  push(bit ? 0 : one, bit ? one : all - one, AdaptiveBit::kPrecision);
  model.learn(bit);
}

void AnsEncoder::code_byte(uint8_t& byte) { push(byte, 1, 8); }

void AnsEncoder::push(uint32_t start, uint32_t frequency, int bits) {
  steps_.push_back({static_cast<uint16_t>(start), static_cast<uint16_t>(frequency), bits});
}

std::vector<uint8_t> AnsEncoder::finish() const {
  std::vector<uint8_t> bytes;  // from the last to the first
  uint32_t state = kLowest;
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    const uint32_t frequency = step->frequency, least_too_large = (kLowest >> step->bits << 8) * frequency;
    for (; state >= least_too_large; state >>= 8) bytes.push_back(static_cast<uint8_t>(state));
    state = (state / frequency << step->bits) + state % frequency + step->start;
  }
  for (size_t k = 0; k < kStateBytes; ++k, state >>= 8) bytes.push_back(static_cast<uint8_t>(state));
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

AnsDecoder::AnsDecoder(ByteSpan stream) : stream_(stream) {
  for (size_t k = 0; k < kStateBytes; ++k) state_ = state_ << 8 | next();
  began_well_ = state_ >= kLowest && state_ >> 8 < kLowest;
}

bool AnsDecoder::finished() const { return began_well_ && at_ == stream_.size && state_ == kLowest; }

}  // namespace squish
