// What a measurement was made on.
#pragma once

#include <string>

namespace squish::bench {

struct Machine {
  std::string cpu;       // "AMD EPYC", or the architecture where the system does not name the model
  int logical_cpus = 0;  // that this process may use; 0: unknown
  std::string compiler;  // of this program
};

Machine this_machine();

}  // namespace squish::bench
