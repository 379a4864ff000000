// The rounding and the denormal values that results are made with.
#pragma once

#include <cstdint>

namespace squish {

// While it lives this thread rounds to nearest, keeps denormal values and raises no signals, as every program begins and
// as threads that are started meanwhile go on: a caller who works otherwise (torch.set_flush_denormal(True)) gets the
// same bits as all others, and has it back afterwards.
class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment() : saved_(read()) {
    if (saved_ != kDefault) write(kDefault);  // writing may wait for all that computes
  }
  ~DefaultFloatEnvironment() {
    if (saved_ != kDefault) write(saved_);
  }
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
#if defined(__x86_64__)
  using Control = uint32_t;
  static constexpr Control kDefault = 0x1f80;  // MXCSR: all exceptions masked
  static constexpr Control kFlags = 0x3f;      // what has happened, not what shall
  static Control read() { return __builtin_ia32_stmxcsr() & ~kFlags; }
  static void write(Control control) { __builtin_ia32_ldmxcsr(control); }
#elif defined(__aarch64__)
  using Control = uint64_t;
  static constexpr Control kDefault = 0;  // FPCR
  static Control read() {
    Control control;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    return control;
  }
  static void write(Control control) { asm volatile("msr fpcr, %0" : : "r"(control)); }
#else
  using Control = int;
  static constexpr Control kDefault = 0;
  static Control read() { return kDefault; }
  static void write(Control /*control*/) {}
#endif

  Control saved_;
};

}  // namespace squish
