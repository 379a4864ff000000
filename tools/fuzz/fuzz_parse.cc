// Fuzz target of the way from bytes to logits, in libFuzzer's form: link it with clang's -fsanitize=fuzzer instead of
// mutate_main.cc, which calls the target where the compiler has no libFuzzer. Whatever the bytes: a FormatError, or a
// net that decodes, that write() turns into the same bytes again, and that is refused or runs within the reference's
// bound.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "format/parse.h"
#include "format/weights.h"
#include "format/write.h"
#include "run_file.h"
#include "squish/error.h"

namespace {

using squish::NetDescription;

// A sparse conv of a few bytes may have gigabytes of dense weights: those are not made here.
constexpr int64_t kMaxDenseWeights = 1 << 20;

void decode(const NetDescription& net) {
  for (const squish::LayerDescription& layer : net.layers) {
    for (const squish::ConvDescription& conv : layer.convs) {
      squish::decode_bias(conv);
      if (squish::count_live_weights(conv) > squish::stored_weights(conv)) {
        throw std::logic_error("more live weights than stored ones");
      }
      if (squish::count_live_clusters(conv) > squish::count_clusters(conv)) {
        throw std::logic_error("more live clusters than there are");
      }
      if (conv.weight_count() <= kMaxDenseWeights) squish::decode_dense(conv);
    }
  }
}

uint32_t section_count(const std::vector<uint8_t>& file) {
  uint32_t count;
  std::memcpy(&count, &file[24], sizeof count);
  return count;
}

// The checksums are zeroed: the input's may be wrong.
std::vector<uint8_t> without_checksums(std::vector<uint8_t> file) {
  constexpr size_t kHeaderCrcAt = 12, kCrcBytes = 4;
  if (file.size() < squish::kHeaderBytes) throw std::logic_error("parse() accepted a file without a header");
  std::memset(&file[kHeaderCrcAt], 0, kCrcBytes);
  for (size_t k = 0; k < section_count(file); ++k) {
    std::memset(&file[squish::kHeaderBytes + k * squish::kSectionEntryBytes + 4], 0, kCrcBytes);
  }
  return file;
}

// A net has one file only. write() drops optional sections that this version does not know.
void check_write_gives_it_back(const std::vector<uint8_t>& again, const std::vector<uint8_t>& file) {
  if (section_count(again) < section_count(file)) return;
  if (without_checksums(again) != without_checksums(file)) {
    throw std::logic_error("write() makes another file of what parse() accepted");
  }
}

void load(const std::vector<uint8_t>& file, bool verify_checksums) {
  try {
    const NetDescription net = squish::parse({file.data(), file.size()}, verify_checksums);
    decode(net);
    const std::vector<uint8_t> again = squish::write(net);
    check_write_gives_it_back(again, file);
    squish::testing::run_file(again);     // its checksums are right
  } catch (const squish::FormatError&) {  // NOLINT(bugprone-empty-catch)
    // What a damaged file is to give.
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<uint8_t> file(data, data + size);
  load(file, true);
  load(file, false);
  return 0;
}
