#include "bench/fma_peak.h"

#include <cstring>
#include <string>

#include "squish/error.h"

namespace squish::bench {
namespace {

const FmaLoop* const kLoops[] = {
#if defined(SQUISH_HAVE_AVX512)
    &kAvx512FmaLoop,
#endif
#if defined(SQUISH_HAVE_AVX2)
    &kAvx2FmaLoop,
#endif
#if defined(SQUISH_HAVE_NEON)
    &kNeonFmaLoop,
#endif
    &kScalarFmaLoop,
};

int64_t burst_rounds(const FmaLoop& loop) { return (int64_t{1} << 24) / loop.flops_per_round; }

}  // namespace

const FmaLoop& fma_loop(const char* isa) {
  for (const FmaLoop* loop : kLoops) {
    if (std::strcmp(loop->isa, isa) == 0) return *loop;
  }
  throw DeviceError("no multiply-add loop for the instruction set '" + std::string(isa) + "'");
}

void run_fma_burst(const FmaLoop& loop) {
  volatile float result = loop.run(burst_rounds(loop));
  static_cast<void>(result);
}

int64_t fma_burst_flops(const FmaLoop& loop) { return burst_rounds(loop) * loop.flops_per_round; }

}  // namespace squish::bench
