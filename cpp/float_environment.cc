#include "float_environment.h"

namespace squish {
namespace {

#if defined(__x86_64__)

constexpr uint64_t kDefault = 0x1f80;  // of MXCSR: all exceptions masked
constexpr uint32_t kFlags = 0x3f;      // what has happened, not what shall

uint64_t read() { return __builtin_ia32_stmxcsr() & ~kFlags; }
void write(uint64_t control) {
  __builtin_ia32_ldmxcsr(static_cast<uint32_t>(control) | (__builtin_ia32_stmxcsr() & kFlags));
}

#elif defined(__aarch64__)

constexpr uint64_t kDefault = 0;  // of FPCR, which has no flags

uint64_t read() {
  uint64_t control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  return control;
}
void write(uint64_t control) { asm volatile("msr fpcr, %0" : : "r"(control)); }

#elif defined(__arm__) && defined(__ARM_FP)

constexpr uint64_t kDefault = 0;          // of FPSCR
constexpr uint32_t kFlags = 0xf800'009f;  // what has happened

uint32_t read_all() {
  uint32_t control;
  asm volatile("vmrs %0, fpscr" : "=r"(control));
  return control;
}
uint64_t read() { return read_all() & ~kFlags; }
void write(uint64_t control) {
  asm volatile("vmsr fpscr, %0" : : "r"(static_cast<uint32_t>(control) | (read_all() & kFlags)));
}

#else

constexpr uint64_t kDefault = 0;
uint64_t read() { return kDefault; }
void write(uint64_t /*control*/) {}

#endif

}  // namespace

DefaultFloatEnvironment::DefaultFloatEnvironment() : saved_(read()) {
  if (saved_ != kDefault) write(kDefault);  // writing may wait for all that computes
}

DefaultFloatEnvironment::~DefaultFloatEnvironment() {
  if (saved_ != kDefault) write(saved_);
}

}  // namespace squish
