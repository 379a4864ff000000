#include "bench/machine.h"

#include <sys/utsname.h>

#include <fstream>
#include <thread>

namespace squish::bench {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "gcc " __VERSION__;
#endif

// The value of the first line "model name : ..." of /proc/cpuinfo. Arm kernels write none, but boards name
// themselves in their device tree.
std::string cpu_model() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  std::string board;
  std::getline(std::ifstream("/proc/device-tree/model"), board, '\0');
  if (!board.empty()) return board;
  utsname system{};
  return uname(&system) == 0 ? system.machine : "unknown";
}

}  // namespace

Machine this_machine() {
  return {cpu_model(), static_cast<int>(std::thread::hardware_concurrency()), kCompiler};
}

}  // namespace squish::bench
