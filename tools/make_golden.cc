// Writes the golden file that the tests load for ever: make_golden tests/data/golden/v1/everything.squish
// Run it once for each version of the format. A file of an old version is never written anew.
#include <cstdio>
#include <fstream>

#include "golden_net.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FILE.squish\n", argv[0]);
    return 2;
  }
  const std::vector<uint8_t> bytes = squish::testing::golden_file();
  std::ofstream file(argv[1], std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) {
    std::fprintf(stderr, "%s: cannot write\n", argv[1]);
    return 1;
  }
  std::printf("%s: %zu bytes\n", argv[1], bytes.size());
  return 0;
}
