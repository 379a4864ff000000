// squish-infer: labels of images without Python; also the shortest example of the C++ interface.
#include <dirent.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "common/arguments.h"
#include "infer/ppm.h"
#include "infer/preprocess.h"
#include "squish/error.h"
#include "squish/session.h"

namespace squish::infer {
namespace {

struct Options {
  SessionOptions session;
  int k = 5;
  bool as_is = false, logits = false, help = false;
};

std::vector<std::string> read_options(int argc, char** argv, Options* options) {
  tools::Arguments arguments(
      "squish-infer NET.squish IMAGE_OR_FOLDER... [options]",
      "Prints the likeliest labels of binary PPM or PGM images (all *.ppm and *.pgm of a "
      "folder; - is the standard input), resized and cropped as the net's file says. Other "
      "images become PPM with, say, `convert photo.jpg photo.ppm`.");
  arguments.add_int("-k", 1, "labels an image", &options->k);
  arguments.add_int("--threads", 1, "threads that compute", &options->session.threads);
  arguments.add_text("--device", "NAME", "cpu; reference; cuda, cuda:1, where it is built with CUDA",
                     &options->session.device);
  arguments.add_text("--storage", "NAME",
                     "auto; f32; i8, integers of a file made for them, the same on every CPU; on cuda f16",
                     &options->session.storage);
  arguments.add_text("--isa", "NAME", "instruction set; the best there is where none is named",
                     &options->session.isa);
  arguments.add_flag("--as-is", "neither resize nor crop: the images are prepared", &options->as_is);
  arguments.add_flag("--logits", "print all logits of an image, one a line, instead of labels",
                     &options->logits);
  arguments.add_flag("--help", "print this and exit", &options->help);
  std::vector<std::string> operands = arguments.parse(argc, argv);
  if (options->help) {
    std::fputs(arguments.help().c_str(), stdout);
  } else if (operands.size() < 2) {
    throw tools::UsageError("wanted a net and at least one image");
  }
  return operands;
}

bool is_image(const std::string& name) {
  if (name[0] == '.') return false;  // hidden
  std::string extension = name.substr(std::min(name.size(), name.rfind('.')));
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".ppm" || extension == ".pgm";
}

// A folder stands for its images, sorted.
std::vector<std::string> images_of(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
  if (folder == nullptr) return {path};
  const std::string prefix = path + "/";
  std::vector<std::string> images;
  const auto next = [&] {
    errno = 0;
    return ::readdir(folder.get());
  };
  while (const dirent* entry = next()) {
    const std::string name = entry->d_name;
    if (is_image(name)) images.push_back(prefix + name);
  }
  if (errno != 0) throw IoError("read", path, errno);
  if (images.empty()) throw InvalidArgument("'" + path + "': has no *.ppm or *.pgm");
  std::sort(images.begin(), images.end());
  return images;
}

void check_finite(const std::vector<float>& logits) {
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) continue;
    throw Error("net: output " + std::to_string(i) + " is " + std::to_string(logits[i]) +
                ", its weights leave the range of float");
  }
}

void print_labels(const std::string& path, const std::vector<float>& logits, const Model& model, int k) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto count = std::min(order.size(), static_cast<size_t>(k));
  std::partial_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
      [&](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  const double largest = logits[order[0]];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  std::printf("%s\n", path.c_str());
  for (size_t i = 0; i < count; ++i) {
    const size_t c = order[i];
    const std::string label = model.labels().empty() ? std::to_string(c) : model.labels()[c];
    std::printf("  %5.1f %%  %s\n", 100 * std::exp(logits[c] - largest) / sum, label.c_str());
  }
}

void infer(Session& session, const std::string& path, const Options& options) {
  const Model& model = session.model();
  const InputDescription& input = model.description().input;
  const Image source = read_ppm(path);
  const Image image = options.as_is ? with_channels(source, input.channels) : preprocess(source, input);
  const Shape shape = model.output_shape(image.height, image.width);
  std::vector<float> logits(static_cast<size_t>(shape.elements()));
  session.run({image.pixels.data(), PixelFormat::kU8Nhwc, 1, image.height, image.width}, logits.data());
  check_finite(logits);
  if (options.logits) {
    for (const float logit : logits) std::printf("%.9g\n", static_cast<double>(logit));
  } else if (shape.height == 1 && shape.width == 1) {
    print_labels(path, logits, model, options.k);
  } else {
    throw InvalidArgument("net: gives a map of " + std::to_string(shape.height) + "x" +
                          std::to_string(shape.width) + ", only --logits can print that");
  }
}

int run(int argc, char** argv) {
  Options options;
  const std::vector<std::string> operands = read_options(argc, argv, &options);
  if (options.help) return 0;
  Session session(Model::load(operands[0]), options.session);
  for (size_t i = 1; i < operands.size(); ++i) {
    for (const std::string& image : images_of(operands[i])) infer(session, image, options);
  }
  return 0;
}

}  // namespace
}  // namespace squish::infer

int main(int argc, char** argv) {
  return squish::tools::run_tool("squish-infer", [&] { return squish::infer::run(argc, argv); });
}
