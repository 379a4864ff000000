// Writes the golden files that the tests load for ever: make_golden tests/data/golden/v1
// Run it once for each version of the format. A file of an old version is never written anew.
#include <cstdio>
#include <fstream>
#include <string>

#include "golden_net.h"

namespace {

bool write_file(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (file) {
    std::printf("%s: %zu bytes\n", path.c_str(), bytes.size());
  } else {
    std::fprintf(stderr, "%s: cannot write\n", path.c_str());
  }
  return !file.fail();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[1];
  const bool done = write_file(folder + "/everything.squish", squish::testing::golden_file()) &&
                    write_file(folder + "/int4.squish", squish::testing::golden_int4_file()) &&
                    write_file(folder + "/compressed.squish", squish::testing::golden_compressed_file());
  return done ? 0 : 1;
}
