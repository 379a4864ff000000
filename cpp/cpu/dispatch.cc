#include "cpu/dispatch.h"

#include <cstdlib>

#if defined(SQUISH_HAVE_INTEGERS_AVXVNNI)
#include <cpuid.h>
#endif
#if defined(SQUISH_HAVE_NEON)
#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#include "squish/error.h"
#include "squish/session.h"

namespace squish {
namespace {

// The compiler's builtins also ask the operating system whether it saves the registers.
#if defined(SQUISH_HAVE_AVX512)
bool cpu_has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif
#if defined(SQUISH_HAVE_AVX2)
bool cpu_has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#if defined(SQUISH_HAVE_INTEGERS_AVXVNNI)
// Compilers' builtins knew its name later than its instructions. It has no registers but AVX2's.
bool cpu_has_avxvnni() {
  constexpr unsigned kAvxVnni = 1U << 4;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return cpu_has_avx2() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnni) != 0;
}
#endif
#if defined(SQUISH_HAVE_NEON)
// Part of every 64-bit Arm. The kernels fuse multiplications and additions.
bool cpu_has_neon() {
#if defined(__aarch64__)
  return true;
#elif defined(__linux__)
  constexpr unsigned long kNeon = 1UL << 12, kFused = 1UL << 16;  // HWCAP_NEON and HWCAP_VFPv4
  return (getauxval(AT_HWCAP) & kNeon) != 0 && (getauxval(AT_HWCAP) & kFused) != 0;
#else
  return false;
#endif
}
#endif
#if defined(SQUISH_HAVE_INTEGERS_NEONDOT)
#if defined(__APPLE__)
bool mac_has(const char* feature) {
  int has = 0;
  size_t bytes = sizeof has;
  return sysctlbyname(feature, &has, &bytes, nullptr, 0) == 0 && has != 0;
}
#endif
bool cpu_has_dotprod() {
#if defined(__APPLE__)
  return mac_has("hw.optional.arm.FEAT_DotProd");
#elif defined(__linux__)
  constexpr unsigned long kDotProducts = 1UL << 20;  // HWCAP_ASIMDDP, which older headers lack
  return (getauxval(AT_HWCAP) & kDotProducts) != 0;
#else
  return false;
#endif
}
#endif
#if defined(SQUISH_HAVE_INTEGERS_NEONI8MM)
bool cpu_has_i8mm() {
#if defined(__APPLE__)
  return cpu_has_dotprod() && mac_has("hw.optional.arm.FEAT_I8MM");
#elif defined(__linux__)
  constexpr unsigned long kMatrixProducts = 1UL << 13;  // HWCAP2_I8MM, which older headers lack
  return cpu_has_dotprod() && (getauxval(AT_HWCAP2) & kMatrixProducts) != 0;
#else
  return false;
#endif
}
#endif

struct Isa {
  const char* name;
  const KernelTable* kernels;
  bool runs_here;
};

std::vector<Isa> built_isas() {
  return {
#define SQUISH_ISA(name, table, runs_here) {name, &table, runs_here},
#include "cpu/kernels.inc"
#undef SQUISH_ISA
  };
}

struct IntegerIsa {
  const IntegerKernels* kernels;
  std::string belongs_to;
  bool runs_here;
};

std::vector<IntegerIsa> built_integer_isas() {
  return {
#define SQUISH_INTEGER_ISA(table, isa, runs_here) {&table, isa, runs_here},
#include "cpu/integer_kernels.inc"
#undef SQUISH_INTEGER_ISA
  };
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : built_isas()) {
    if (isa.runs_here) names.emplace_back(isa.name);
  }
  return names;
}

const KernelTable& choose_kernels(const std::string& wanted) {
  const char* forced = std::getenv("SQUISH_FORCE_ISA");
  const bool from_environment = wanted.empty() && forced != nullptr && *forced != '\0';
  const std::string name = from_environment ? forced : wanted;
  for (const Isa& isa : built_isas()) {
    if (isa.runs_here && (name.empty() || name == isa.name)) return *isa.kernels;
  }
  throw DeviceError(std::string(from_environment ? "SQUISH_FORCE_ISA" : "isa") + ": got '" + name +
                    "', this build on this CPU has " + joined(available_isas()));
}

const IntegerKernels& choose_integer_kernels(const KernelTable& kernels) {
  bool reached = false;  // instruction sets from this one on
  for (const Isa& isa : built_isas()) {
    reached |= isa.kernels == &kernels;
    for (const IntegerIsa& integers : built_integer_isas()) {
      if (reached && integers.runs_here && integers.belongs_to == isa.name) return *integers.kernels;
    }
  }
  return kScalarIntegers;
}

RgbQuadKernel choose_rgb_quads([[maybe_unused]] const IntegerKernels& kernels) {
#if defined(SQUISH_HAVE_INTEGERS_AVX512VBMI)
  if (&kernels == &kAvx512vnniIntegers && __builtin_cpu_supports("avx512vbmi")) return kAvx512vbmiRgbQuads;
#endif
  return nullptr;
}

std::vector<const IntegerKernels*> available_integer_kernels() {
  std::vector<const IntegerKernels*> kernels;
  for (const IntegerIsa& isa : built_integer_isas()) {
    if (isa.runs_here) kernels.push_back(isa.kernels);
  }
  return kernels;
}

}  // namespace squish
