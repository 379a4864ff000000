#include "bench/bench_options.h"

#include <cstdio>

#include "common/arguments.h"

namespace squish::bench {
namespace {

constexpr const char* kAbout =
    "Measures how long nets take. Several nets are run in turn, so that whatever slows the machine slows all "
    "of\n"
    "them, and are compared with the first. Between them runs a loop of multiply-adds, whose best speed is "
    "the\n"
    "core's peak. Input: random values from a fixed seed; no kernel's time depends on them.";

PixelFormat read_format(const std::string& text) {
  for (const PixelFormat format : {PixelFormat::kF32Nchw, PixelFormat::kU8Nhwc}) {
    if (text == format_name(format)) return format;
  }
  throw tools::UsageError("got '" + text + "', wanted f32 or u8");
}

// "224" or "224x320"
ImageSize read_size(const std::string& text) {
  const size_t x = text.find('x');
  try {
    const int height = tools::parse_int(text.substr(0, x), 1);
    return {height, x == std::string::npos ? height : tools::parse_int(text.substr(x + 1), 1)};
  } catch (const tools::UsageError&) {
    throw tools::UsageError("got '" + text + "', wanted pixels such as 224 or 224x320, at least 1");
  }
}

void check(const BenchOptions& options) {
  if (options.nets.empty()) throw tools::UsageError("no net: wanted at least one .squish file");
  if (!options.session.winograd && options.session.storage == "i8")
    throw tools::UsageError("--direct: integers have no Winograd convolutions, got --storage i8");
  if (options.session.tune && options.session.device.compare(0, 4, "cuda") != 0)
    throw tools::UsageError("--tune measures kernels of a CUDA device, got --device " +
                            options.session.device);
  if (options.session.device == "cpu") return;
  if (!options.session.isa.empty() || !options.session.winograd) {
    throw tools::UsageError("--isa and --direct choose kernels of the device cpu, got --device " +
                            options.session.device);
  }
}

}  // namespace

const char* format_name(PixelFormat format) { return format == PixelFormat::kU8Nhwc ? "u8" : "f32"; }

BenchOptions read_bench_options(int argc, const char* const* argv) {
  BenchOptions options;
  bool help = false, version = false, direct = false;
  tools::Arguments arguments("squish-bench NET.squish... [options]", kAbout);
  arguments.add_int("--batch", 1, "images a call", &options.batch);
  arguments.add_int("--threads", 1, "threads that compute", &options.session.threads);
  arguments.add_text("--device", "NAME", "cpu; cuda, cuda:1; reference: plain loops in double precision",
                     &options.session.device);
  arguments.add_text("--isa", "NAME",
                     "instruction set: avx512, avx2, neon or scalar\n[$SQUISH_FORCE_ISA, else the best here]",
                     &options.session.isa);
  arguments.add_text("--storage", "NAME", "auto; f32; i8, integers of a file made for them; on cuda f16",
                     &options.session.storage);
  arguments.add_flag("--tune", "on cuda: choose kernels and tiles by measuring them, not by a model",
                     &options.session.tune);
  arguments.add_flag("--direct", "floats, and no Winograd convolutions", &direct);
  arguments.add("--size", "S|HxW", "image size in pixels, 224 or 224x320 [the net's own]",
                [&](const std::string& text) { options.size = read_size(text); });
  arguments.add("--format", "NAME",
                "f32: normalised, planes by channel; u8: RGB pixels, normalised by the\nengine [f32]",
                [&](const std::string& text) { options.format = read_format(text); });
  arguments.add_int("--warmup", 0, "calls before the first that is timed", &options.warmup);
  arguments.add_int("--iters", 1, "calls that are timed", &options.iterations);
  arguments.add_flag("--profile", "measure and print each step of each net too", &options.profile);
  arguments.add_text("--json", "FILE", "write everything that was measured there; -: print only that",
                     &options.json);
  arguments.add_flag("--version", "print the version", &version);
  arguments.add_flag("--help", "print this", &help);
  std::vector<std::string> nets = arguments.parse(argc, argv);
  if (help || version) {
    std::printf("%s", help ? arguments.help().c_str()
                           : (std::string("squish-bench ") + squish::version() + "\n").c_str());
    return {};
  }
  options.nets = std::move(nets);
  options.session.winograd = !direct;
  if (direct && options.session.storage == "auto") options.session.storage = "f32";
  check(options);
  return options;
}

}  // namespace squish::bench
