#include <gtest/gtest.h>

#include "format/parse.h"
#include "format/weights.h"
#include "format/write.h"
#include "format_file.h"
#include "golden_net.h"
#include "squish/error.h"

namespace squish {
namespace {

using testing::Bytes;

ByteSpan span(const Bytes& bytes) { return {bytes.data(), bytes.size()}; }

TEST(Write, ComesBackByteForByte) {
  const Bytes file = testing::golden_file();
  EXPECT_EQ(write(parse(span(file))), file);
}

TEST(Write, MakesTheFileThatTheSpecificationImplies) {
  const Bytes file = testing::golden_file();
  EXPECT_EQ(testing::FileParts(file).assemble(), file);
}

TEST(Write, LeavesOutLabelsAndTextThatAreEmpty) {
  const Bytes file = testing::golden_file();
  NetDescription net = parse(span(file));
  net.labels.clear();
  net.about.clear();
  const Bytes shorter = write(net);
  EXPECT_EQ(testing::FileParts(shorter).sections.size(), 5u);
  EXPECT_TRUE(parse(span(shorter)).labels.empty());
}

void expect_window_eq(const Window& got, const Window& want) {
  EXPECT_EQ(got.kernel_h, want.kernel_h);
  EXPECT_EQ(got.kernel_w, want.kernel_w);
  EXPECT_EQ(got.stride_h, want.stride_h);
  EXPECT_EQ(got.stride_w, want.stride_w);
  EXPECT_EQ(got.pad_top, want.pad_top);
  EXPECT_EQ(got.pad_left, want.pad_left);
  EXPECT_EQ(got.pad_bottom, want.pad_bottom);
  EXPECT_EQ(got.pad_right, want.pad_right);
}

void expect_conv_eq(const ConvDescription& got, const ConvSource& want) {
  EXPECT_EQ(got.out_channels, want.out_channels);
  EXPECT_EQ(got.in_channels, want.in_channels);
  expect_window_eq(got.window, want.window);
  EXPECT_EQ(got.relu, want.relu);
  EXPECT_EQ(got.activation, want.activation);
  EXPECT_EQ(got.type, want.type);
  EXPECT_EQ(static_cast<int>(got.encoding) + 1,
            static_cast<int>(want.encoding));  // EncodingChoice is one ahead
  EXPECT_EQ(decode_dense(got), want.weight);
  EXPECT_EQ(decode_bias(got), want.bias);
}

TEST(Write, ParseGivesBackWhatWasWritten) {
  const Bytes file = testing::golden_file();
  const NetDescription net = parse(span(file));
  const InputDescription want_input = testing::golden_input();
  EXPECT_EQ(net.input.channels, want_input.channels);
  EXPECT_EQ(net.input.height, want_input.height);
  EXPECT_EQ(net.input.width, want_input.width);
  EXPECT_EQ(net.input.resize, want_input.resize);
  EXPECT_EQ(net.input.interpolation, want_input.interpolation);
  EXPECT_EQ(net.input.mean, want_input.mean);
  EXPECT_EQ(net.input.std, want_input.std);
  EXPECT_EQ(net.labels, testing::golden_labels());
  EXPECT_EQ(net.about, "One of everything. Made by tools/make_golden.");

  const std::vector<testing::LayerSource> want = testing::golden_layers();
  ASSERT_EQ(net.layers.size(), want.size());
  for (size_t k = 0; k < want.size(); ++k) {
    SCOPED_TRACE(want[k].layer.name);
    const LayerDescription& got = net.layers[k];
    EXPECT_EQ(got.kind, want[k].layer.kind);
    EXPECT_EQ(got.name, want[k].layer.name);
    EXPECT_EQ(got.inputs, want[k].layer.inputs);
    EXPECT_EQ(got.relu, want[k].layer.relu);
    EXPECT_EQ(got.ceil_mode, want[k].layer.ceil_mode);
    expect_window_eq(got.window, want[k].layer.window);
    ASSERT_EQ(got.convs.size(), want[k].convs.size());
    for (size_t c = 0; c < got.convs.size(); ++c) expect_conv_eq(got.convs[c], want[k].convs[c]);
  }
}

// Breaks the golden net's description in one place; the message of the InvalidArgument, "" if there is none.
template <typename Break>
std::string refusal(Break&& break_it) {
  const Bytes file = testing::golden_file();
  NetDescription net = parse(span(file));
  break_it(net);
  try {
    write(net);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

#define EXPECT_REFUSED(statement, word)                                                        \
  do {                                                                                         \
    const std::string message = refusal([](NetDescription& net) { statement; });               \
    EXPECT_NE(message.find(word), std::string::npos) << #statement << ": '" << message << "'"; \
  } while (false)

TEST(Write, RefusesWhatTheFieldsCannotHold) {
  EXPECT_REFUSED(net.input.channels = -1, "input: channels is -1, must be 0 to 65535");
  EXPECT_REFUSED(net.input.std[0] = 1e-45f, "input: std is ");
  EXPECT_REFUSED(net.input.mean[0] = 3e38f, "input: mean is ");
  EXPECT_REFUSED(net.input.height = 65536, "input: height is 65536");
  EXPECT_REFUSED(net.input.resize = 70000, "input: resize is 70000");
  EXPECT_REFUSED(net.layers[1].window.kernel_h = 256, "layer 1 'pool1': kernel_h is 256, must be 0 to 255");
  EXPECT_REFUSED(net.layers[0].convs[0].window.stride_w = -1, "layer 0 'conv1': stride_w is -1");
  EXPECT_REFUSED(net.layers[0].convs[0].out_channels = 65536, "out_channels is 65536");
  EXPECT_REFUSED(net.layers[0].inputs[0] = -2, "layer 0 'conv1': input + 1 is -1");
}

TEST(Write, RefusesWhatTheParserWouldRefuse) {
  EXPECT_REFUSED(net.layers.clear(), "kLayers");
  EXPECT_REFUSED(net.input.channels = 5; net.input.mean.resize(5);
                 net.input.std.resize(5, 1.0f), "channels is 5");
  EXPECT_REFUSED(net.input.std[0] = 0, "std");
  EXPECT_REFUSED(net.layers[2].name.clear(), "name_bytes");
  EXPECT_REFUSED(net.layers[2].name = std::string(256, 'n'), "name_bytes is 256, must be 1 to 255");
  EXPECT_REFUSED(net.layers[2].name = "\xFF", "UTF-8");
  EXPECT_REFUSED(net.layers[2].name = "conv1", "same name");
  EXPECT_REFUSED(net.layers[2].inputs[0] = 2, "input is 3, must be 0 to 2");
  EXPECT_REFUSED(net.layers[2].convs.pop_back(), "conv_count");
  EXPECT_REFUSED(net.layers[2].relu = true, "flags");
  EXPECT_REFUSED(net.layers[4].ceil_mode = true, "flags");
  EXPECT_REFUSED(net.layers[0].convs[0].window.pad_top = 3, "pad_top");
  EXPECT_REFUSED(net.labels[3] = "\xC3", "UTF-8");
  EXPECT_REFUSED(net.about = std::string("a\0b", 3), "UTF-8");
}

TEST(Write, RefusesListsThatDoNotFit) {
  EXPECT_REFUSED(net.input.mean.pop_back(), "mean has 2 values for 3 channels");
  EXPECT_REFUSED(net.input.std.push_back(1), "std has 4 values for 3 channels");
  EXPECT_REFUSED(net.layers[4].inputs.pop_back(), "layer 4 'bypass3': got 1 inputs, wanted 2");
  EXPECT_REFUSED(net.layers[0].inputs.push_back(-1), "layer 0 'conv1': got 2 inputs, wanted 1");
}

TEST(Write, RefusesPartsThatWouldBeReadAsSomethingElse) {
  // 17 floats of bias moved to the front of the values: as many bytes, another meaning.
  EXPECT_REFUSED(net.layers[0].convs[0].scale = net.layers[0].convs[0].bias;
                 net.layers[0].convs[0].bias = {}, "layer 0 'conv1': conv 0: the parts of its payload");
  EXPECT_REFUSED(net.layers[0].convs[0].values.size -= 4, "values needs 1836 bytes, payload has 1832 left");
  EXPECT_REFUSED(net.layers[6].convs[2].bias = net.layers[0].convs[0].bias,
                 "layer 6 'fire5': conv 2: the parts");
}

}  // namespace
}  // namespace squish
