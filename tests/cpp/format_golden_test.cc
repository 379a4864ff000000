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
  std::ifstream file(SQUISH_TEST_DATA "/golden/" + name, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read the golden file " + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(FormatGolden, Version1Loads) {
  const std::vector<uint8_t> file = read_golden("v1/everything.squish");
  const NetDescription net = parse({file.data(), file.size()});
  const std::vector<testing::LayerSource> want = testing::golden_layers();
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

TEST(FormatGolden, Version1IsWrittenTheSameToday) {
  const std::vector<uint8_t> file = read_golden("v1/everything.squish");
  EXPECT_EQ(write(parse({file.data(), file.size()})), file);
  EXPECT_EQ(testing::golden_file(), file);
}

}  // namespace
}  // namespace squish
