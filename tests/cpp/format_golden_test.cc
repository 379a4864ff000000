// Files of every version of the format load for ever, with the contents they had.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "format/parse.h"
#include "format/weights.h"
#include "format/write.h"
#include "golden_net.h"

namespace squish {
namespace {

std::vector<uint8_t> read_golden(const std::string& name) {
  std::ifstream file(SQUISH_TEST_DATA "/golden/v1/" + name + ".squish", std::ios::binary);
  if (!file) throw std::runtime_error("cannot read the golden file " + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Golden {
  const char* name;
  std::vector<testing::LayerSource> layers;
  std::vector<uint8_t> file;
};

class FormatGolden : public ::testing::TestWithParam<Golden> {};

INSTANTIATE_TEST_SUITE_P(
    , FormatGolden,
    ::testing::Values(Golden{"everything", testing::golden_layers(), testing::golden_file()},
                      Golden{"int4", testing::golden_int4_layers(), testing::golden_int4_file()},
                      Golden{"compressed", testing::golden_compressed_layers(),
                             testing::golden_compressed_file()}),
    [](const auto& golden) { return golden.param.name; });

TEST_P(FormatGolden, Version1Loads) {
  const std::vector<uint8_t> file = read_golden(GetParam().name);
  const NetDescription net = parse({file.data(), file.size()});
  const std::vector<testing::LayerSource>& want = GetParam().layers;
  ASSERT_EQ(net.layers.size(), want.size());
  EXPECT_EQ(net.labels, testing::golden_labels());
  for (size_t k = 0; k < want.size(); ++k) {
    EXPECT_EQ(net.layers[k].name, want[k].layer.name);
    ASSERT_EQ(net.layers[k].convs.size(), want[k].convs.size());
    for (size_t c = 0; c < want[k].convs.size(); ++c) {
      EXPECT_EQ(decode_dense(net.layers[k].convs[c]), want[k].convs[c].weight)
          << want[k].layer.name << " " << c;
      EXPECT_EQ(decode_bias(net.layers[k].convs[c]), want[k].convs[c].bias) << want[k].layer.name << " " << c;
    }
  }
}

TEST_P(FormatGolden, Version1IsWrittenTheSameToday) {
  const std::vector<uint8_t> file = read_golden(GetParam().name);
  EXPECT_EQ(write(parse({file.data(), file.size()})), file);
  EXPECT_EQ(GetParam().file, file);
}

}  // namespace
}  // namespace squish
