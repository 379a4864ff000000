#include "squish/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "allocations.h"
#include "format_file.h"
#include "golden_net.h"
#include "squish/error.h"
#include "support/net_builder.h"
#include "support/throws.h"

namespace squish {
namespace {

using testing::throws;

const std::string kGolden = SQUISH_TEST_DATA "/golden/v1/everything.squish";

TEST(Model, LoadsAFile) {
  const auto model = Model::load(kGolden);
  const auto bytes = testing::golden_file();
  EXPECT_EQ(model->file_bytes(), bytes.size());
  EXPECT_EQ(model->input_shape(), (Shape{3, 19, 23}));
  EXPECT_EQ(model->output_shape(19, 23), (Shape{10, 1, 1}));
  EXPECT_EQ(model->classes(), 10);
  EXPECT_EQ(model->labels(), testing::golden_labels());
}

TEST(Model, KeepsItsOwnCopyOfTheBytes) {
  auto bytes = testing::golden_file();
  const auto model = Model::from_bytes(bytes.data(), bytes.size());
  const auto bias = [&] { return *model->description().layers[0].convs[0].bias.data; };
  const uint8_t before = bias();
  std::fill(bytes.begin(), bytes.end(), uint8_t{0xFF});
  EXPECT_EQ(bias(), before);
}

TEST(Model, GivesTheOutputShapeOfANetWithoutAHead) {
  testing::NetBuilder net(1, 3);
  net.fire(net.conv(-1, 8, testing::square(3, 2)), {4, 5, 6});
  EXPECT_EQ(net.model()->output_shape(9, 15), (Shape{11, 4, 7}));
  EXPECT_TRUE(throws<InvalidArgument>([&] { net.model()->output_shape(2, 15); }, "too small for the net"));
}

TEST(Model, SaysWhichFileCannotBeRead) {
  EXPECT_TRUE(throws<IoError>([] { Model::load("no/such.squish"); }, "cannot open 'no/such.squish': "));
  EXPECT_TRUE(throws<IoError>([] { Model::load(SQUISH_TEST_DATA); }, "cannot read '" SQUISH_TEST_DATA "': "));
}

#if defined(__linux__)
TEST(Model, ReadsNoMoreThanAHeaderOfWhatIsNoNet) {
  const testing::AllocationCounter counter;
  EXPECT_TRUE(throws<FormatError>([] { Model::load("/dev/zero"); }, "'/dev/zero': not a .squish file"));
  EXPECT_LT(counter.bytes(), 1 << 16);
}
#endif

TEST(Model, ReadsNoFurtherThanTheHeaderSays) {
  const std::string path = ::testing::TempDir() + "squish_model_test.squish";
  auto bytes = testing::golden_file();
  const size_t golden = bytes.size();
  bytes.resize(size_t{8} << 20);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), std::streamsize{8} << 20);
  {
    const testing::AllocationCounter counter;
    EXPECT_TRUE(throws<FormatError>([&] { Model::load(path); },
                                    "file goes on behind the " + std::to_string(golden) + " bytes"));
    EXPECT_LT(counter.bytes(), 1 << 17);
  }
  testing::set(bytes, 16, ~uint64_t{0});
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), 4096);
  const testing::AllocationCounter counter;
  EXPECT_TRUE(throws<FormatError>([&] { Model::load(path); }, "file is truncated: it has 4096 bytes"));
  EXPECT_LT(counter.bytes(), 1 << 18) << "the size is a lie";
  std::remove(path.c_str());
}

TEST(Model, SaysWhichFileIsNoNet) {
  const std::string path = ::testing::TempDir() + "squish_model_test.txt";
  std::ofstream(path) << "a text";
  EXPECT_TRUE(throws<FormatError>([&] { Model::load(path); }, "'" + path + "': "));
  std::remove(path.c_str());
}

}  // namespace
}  // namespace squish
