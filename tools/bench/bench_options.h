// What squish-bench is asked to do.
#pragma once

#include <string>
#include <vector>

#include "squish/session.h"

namespace squish::bench {

struct ImageSize {
  int height = 0, width = 0;  // 0: the one that the net was made for
};

struct BenchOptions {
  std::vector<std::string> nets;  // paths
  SessionOptions session;
  int batch = 1;
  ImageSize size;
  PixelFormat format = PixelFormat::kF32Nchw;
  int warmup = 10, iterations = 100;
  bool profile = false;
  std::string json;  // a path, or empty
};

// Reads the command line. After --help or --version, whose text it prints, `nets` is empty and there is nothing to do.
// Throws UsageError.
BenchOptions read_bench_options(int argc, const char* const* argv);

// "f32" or "u8"
const char* format_name(PixelFormat format);

}  // namespace squish::bench
