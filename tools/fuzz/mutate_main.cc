// Runs a fuzz target without libFuzzer, where the compiler has none: mutants of seed files, the same ones for the
// same seed. A mutant that fails is left in the file crash.squish of the working directory.
//   fuzz_parse [--seconds N] [--seed N] SEED.squish...      fuzz_parse --replay FILE...
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): names of libFuzzer and the sanitizers
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// Of the sanitizers' run time, where the program is built with one. Only ELF links what may be missing.
#if defined(__ELF__)
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));
#endif
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

namespace {

using Bytes = std::vector<uint8_t>;

// Static, because a sanitizer's death callback has no argument.
Bytes mutant;

void save_mutant() {
  std::ofstream file("crash.squish", std::ios::binary);
  file.write(reinterpret_cast<const char*>(mutant.data()), static_cast<std::streamsize>(mutant.size()));
  std::fprintf(stderr, "the input is in crash.squish\n");
}

struct Options {
  double seconds = 10;
  uint64_t seed = 1;
  bool replay = false;
  std::vector<Bytes> files;
};

Bytes read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(std::string(path) + ": cannot read");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (int k = 1; k < argc; ++k) {
    const std::string argument = argv[k];
    if (argument == "--seconds" && k + 1 < argc) {
      options.seconds = std::stod(argv[++k]);
    } else if (argument == "--seed" && k + 1 < argc) {
      options.seed = std::stoull(argv[++k]);
    } else if (argument == "--replay") {
      options.replay = true;
    } else {
      options.files.push_back(read_file(argv[k]));
    }
  }
  if (options.files.empty()) throw std::runtime_error("no seed file given");
  return options;
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  Bytes mutate(const std::vector<Bytes>& seeds) {
    Bytes bytes = seeds[below(seeds.size())];
    for (size_t edits = 1 + below(4); edits > 0 && !bytes.empty(); --edits) edit(bytes);
    // Otherwise nearly all that change the size would end at this one field.
    if (bytes.size() >= 24 && below(4) != 0) overwrite<uint64_t>(bytes, 16, bytes.size());
    return bytes;
  }

 private:
  size_t below(size_t limit) { return static_cast<size_t>(random_() % limit); }

  void edit(Bytes& bytes) {
    const size_t at = below(bytes.size());
    switch (below(8)) {
      case 0:
        bytes[at] = static_cast<uint8_t>(bytes[at] ^ 1u << below(8));
        break;
      case 1:
        bytes[at] = static_cast<uint8_t>(random_());
        break;
      case 2:
        overwrite(bytes, at & ~size_t{1}, static_cast<uint16_t>(number()));
        break;
      case 3:
        overwrite(bytes, at & ~size_t{3}, static_cast<uint32_t>(number()));
        break;
      case 4:
        overwrite(bytes, at & ~size_t{7}, number());
        break;
      case 5:
        copy_within(bytes, at);
        break;
      case 6:
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), 1 + below(80),
                     static_cast<uint8_t>(below(2)));
        break;
      default:
        erase(bytes, at);
    }
  }

  // Small numbers, powers of two, their neighbours, and their complements: where arithmetic breaks.
  uint64_t number() {
    const uint64_t value = below(2) == 0 ? below(70) : (uint64_t{1} << below(64)) + below(3) - 1;
    return below(4) == 0 ? ~value : value;
  }

  template <typename T>
  static void overwrite(Bytes& bytes, size_t at, T value) {
    std::memcpy(&bytes[at], &value, std::min(sizeof value, bytes.size() - at));
  }

  void copy_within(Bytes& bytes, size_t to) {
    const size_t from = below(bytes.size());
    const size_t count = std::min(1 + below(80), bytes.size() - std::max(from, to));
    std::memmove(&bytes[to], &bytes[from], count);
  }

  void erase(Bytes& bytes, size_t at) {
    const size_t count = std::min(1 + below(80), bytes.size() - at);
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    bytes.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
  }

  std::mt19937_64 random_;
};

int64_t run_mutants(const Options& options) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(options.seconds);
  Mutator mutator(options.seed);
  int64_t count = 0;
  for (; Clock::now() < end; ++count) {
    mutant = mutator.mutate(options.files);
    LLVMFuzzerTestOneInput(mutant.data(), mutant.size());
  }
  return count;
}

int64_t run_files(const Options& options) {
  for (const Bytes& file : options.files) {
    mutant = file;
    LLVMFuzzerTestOneInput(mutant.data(), mutant.size());
  }
  return static_cast<int64_t>(options.files.size());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse_options(argc, argv);
#if defined(__ELF__)
    if (&__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(save_mutant);
#endif
    const int64_t count = options.replay ? run_files(options) : run_mutants(options);
    std::printf("%lld inputs, none failed\n", static_cast<long long>(count));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "failed: %s\n", error.what());
    if (!mutant.empty()) save_mutant();
    return 1;
  }
}
