// The .squish file, version 1. This comment is its specification.
//
// A .squish file holds one image classifier: its layers, their weights, the names of its classes and
// the preprocessing that its images want. It is the only contract between the Python side, which
// trains, and the engine, which runs.
//
// GENERAL RULES
//  * Little-endian, IEEE 754. No machine we run on is big-endian; one order means no swapping.
//  * Everything that is not payload is covered by a checksum, and so is all payload: a flipped bit
//    on an SD card must be an error, not a wrong label.
//  * Bytes that nobody owns (padding, reserved fields) are zero and are checked to be zero: a later
//    version can give them a meaning that an older reader refuses instead of ignoring.
//  * Everything that is pointed at lies in the order of the pointers, without gaps but the padding said
//    here, to the end of its section. So no field can point backwards, overlap or leave its section, and a
//    net whose encodings are chosen has exactly one file: two writers make the same bytes.
//  * A reader needs memory in proportion to the file: what is compressed has at most 4 times (kMaxExpansion) its bytes.
//  * Text is UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF) without NUL, which
//    a C program would take for the end.
//
// FILE
//    0  header            32 bytes, see below
//   32  section table     section_count entries of 24 bytes
//       sections          in table order, each at the next multiple of 64 (kSectionAlignment), zeros
//                         between; the file ends where the last one ends.
//  64 is a cache line and the widest vector: a file mapped into memory has its sections aligned.
//
// HEADER
//    0  u8[8]  magic          89 53 51 53 48 0D 0A 1A  ("\x89SQSH\r\n\x1a": like PNG's, it catches files
//                             that went through a 7-bit channel or a newline conversion)
//    8  u32    version        1. A reader refuses any other and names both.
//   12  u32    header_crc     CRC-32 (the one of zlib, PNG, gzip) of the header with this field zero,
//                             followed by the section table
//   16  u64    file_bytes     size of the whole file: tells a truncated download at once
//   24  u32    section_count  1 to 64
//   28  u32    reserved       0
//
// SECTION TABLE ENTRY
//    0  u32    kind           SectionKind, ascending from entry to entry, so each at most once. The five
//                             without kOptionalSection below must be there. A reader refuses an unknown
//                             kind unless its kOptionalSection bit is set; then it skips it (its CRC is
//                             still checked).
//    4  u32    crc            CRC-32 of the section's bytes
//    8  u64    offset         from the start of the file
//   16  u64    bytes
//
// SECTION kInput: what the net eats
//    0  u16    channels       1 to 4. Three means RGB.
//    2  u16    height         the size the net was made for, pixels, at least 1. The engine runs any size
//    4  u16    width          that the layers admit; this is the default.
//    6  u16    resize         predict(): the shorter side is resized to this before the centre crop to
//                             height x width. 0: resized to height x width at once, aspect ratio lost.
//    8  u8     interpolation  Interpolation
//    9  u8[3]  reserved       0
//   12  f32[channels] mean    -2^60 to 2^60 (kMaxMean), on the scale 0..1: input = (pixel / 255 - mean) / std
//       f32[channels] std     2^-60 to 2^60 (kMinStd, kMaxStd): so 1 / (255 std) and mean / std, with which the
//                             engine computes the same, are normal floats
//
// SECTION kStrings: the layers' names, one after the other in the order of the layers, without terminators.
//
// SECTION kLayers: an array of 1 to 4096 (kMaxLayers) records of 32 bytes, each layer behind those it reads. A
// SqueezeNet has about 20; the limit keeps what a small file can ask of a planner small, too.
//    0  u8     kind           LayerKind
//    1  u8     flags          bit 0 (kFlagRelu): ReLU, only of an Add. bit 1 (kFlagCeil): ceil_mode, only of
//                             a MaxPool.
//    2  u16    name_bytes     1 to 255. No two layers have the same name: tools address layers by it.
//    4  u32    name_offset    into kStrings
//    8  u16    inputs[2]      0: the net's input. k: the output of layer k - 1. An Add has two; others have
//                             one and 0 in the second place.
//   12  u16    first_conv     index of its first record in kConvs. Layers own their convs in order and
//   14  u8     conv_count     without gaps: Conv 1; Fire 3 (squeeze, expand1x1, expand3x3); others 0 and 0.
//   15  u8     reserved       0
//   16  u8     kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, pad_bottom, pad_right
//                             of a MaxPool: kernel and stride at least 1, padding below the kernel size.
//                             All 0 for other kinds.
//   24  u8[8]  reserved       0
//  The last layer's output is the net's output.
//
// WHICH LAYERS FIT TOGETHER. A file that breaks one of these rules is no net, and is refused like a damaged one:
//  * A convolution's in_channels are the channels of what it reads: a Conv and a squeeze read the layer's input,
//    expands their squeeze. A Fire has the channels of both expands, the first's before the second's.
//  * An Add's inputs have equal channels. (Equal sizes, too; but those depend on the image.)
//  * A Fire's windows are 1x1 (squeeze, expand1x1) and 3x3 with padding 1 (expand3x3), all with stride 1, of an
//    absent expand as well: the outputs of both expands then have one size and can lie side by side.
//  * At least one of a Fire's expands is there: a layer without channels is none.
//  * The flags of a Fire's expands are equal where both are there: engines compute them as one convolution.
//  * Every layer but the last is read by another: what nobody reads is a writer's mistake.
//  * All convs together have at most 2^31 (kMaxWeights) weights, those that the encoding leaves out included: a bit
//    stands for up to 64 of them, so a small file could ask an engine that widens them for any memory.
//  * Labels, where there are any, are as many as the net's output has channels.
//
// SECTION kConvs: an array of 40-byte records
//    0  u16    out_channels   at least 1; 0 only for one of a Fire's two expands: evolution may take a whole
//                             expand away. Its encoding, type, activation_scale, activation_zero,
//                             payload_offset and payload_bytes are then 0, and its flags mean nothing.
//    2  u16    in_channels    at least 1
//    4  u8     kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, pad_bottom, pad_right
//                             kernel and stride at least 1, padding below the kernel size
//   12  u8     flags          bit 0 (kFlagRelu): ReLU after it
//   13  u8     encoding       WeightEncoding
//   14  u8     type           WeightType
//   15  u8     compression    Compression of the payload; kNone for kF32, kF16 and an absent expand.
//   16  f32    activation_scale  0: it reads floats. Otherwise 2^-40 to 2^40 (kMinActivationScale,
//                             kMaxActivationScale): its input may be held in bytes q that stand for
//                             activation_scale * (q - activation_zero), see INTEGER ARITHMETIC.
//   20  u8     activation_zero  0 where activation_scale is 0
//   21  u8[3]  reserved       0
//   24  u64    payload_offset into kWeights. Payloads follow each other in the order of the records: a
//                             compressed one at once, others each at the next multiple of 16
//                             (kPayloadAlignment), zeros between.
//   32  u64    payload_bytes  must equal what the fields above and the occupancy imply. A compressed payload's:
//                             what a writer needs for it, and at least a fourth of the other.
//
// PAYLOAD OF A CONV, in kWeights: the parts follow each other, each at the next multiple of 4
// (kPartAlignment) from the payload's start, zeros between; it ends where the values end.
//       channel[out_channels] bias  finite. channel: f32 if the type is kF32, otherwise f16
//       f16[out_channels] scale    only for kI8 and kI4: weight = scale * value; 0 to 65504, the largest finite f16
//       u8[]              occupancy  only for the sparse encodings: one bit a cluster (or synapse), 1 = lives,
//                                  bit i in byte i / 8 at weight 1 << (i % 8); spare bits of the last byte 0
//       type[]            values   of all weights (dense) or of those that live. Floats are finite. kI8: -127 to
//                                  127, because the absolute value of -128 is no int8 and the kernels for
//                                  AVX2 multiply absolute values by signs. kI4: -7 to 7, as symmetric, in
//                                  four bits of two's complement, two a byte: value k in byte k / 2, in the
//                                  low nibble for even k, in the high nibble for odd k. Of an odd number of
//                                  values the last byte's high nibble is 0.
//
// ORDER OF WEIGHTS. o: output channel, i: input channel, (y, x): kernel position.
//  kDense          o, i, y, x: the order of PyTorch and ONNX (OIHW).
//  kCluster16x1    a cluster is up to 16 output channels (16b .. 16b+15, those that exist) x 1 input channel at
//                  one kernel position. Clusters in the order b, y, x, i; in a living one the values by o.
//  kCluster16x4    up to 16 output channels x up to 4 input channels (4g .. 4g+3, those that exist) at one
//                  kernel position. Clusters in the order b, y, x, g; in a living one o, then i: four input
//                  channels of one output side by side is what int8 dot-product instructions eat.
//  kSynapse        single weights. Bits and values in the order o, i, y, x.
//
// COMPRESSED PAYLOAD. kAns: of the integer types, the parts above without the zeros between them, as a stream of bits
// that are coded by rANS with probabilities that adapt. ans.h says how a bit is coded and how its probability moves.
// The probabilities are those of this conv alone, and each of the following has its own, which begin at one half.
//       bias, then scale           each of out_channels halves: its low byte (all values alike likely), then its high
//                                  byte, from the highest bit on (AdaptiveNumber<8>, one for biases and one for scales)
//       occupancy                  a bit for each cluster, all by one AdaptiveBit
//       values                     kI8: value + 128 as AdaptiveNumber<8>; kI4: value + 8 as AdaptiveNumber<4>
// An engine makes the other payload of it when it loads, and works on that.
//
// INTEGER ARITHMETIC. A net is made for it where it has convs, all that are there have an activation_scale and weights of kI8 or
// kI4, and those that read the same activation agree in scale and zero; an activation and a max pool of it count as the same. Each
// activation that a conv reads (or a max pool of which a conv reads, or that is a max pool of one) is then held in bytes,
// the others in floats, and what a net computes is said to the bit, for every engine. All floats are f32, and each
// operation on them rounds to nearest even by itself; s, z: scale and zero of an activation.
//       byte(x, low)            x * r + z with r = 1 / s (from double), rounded to an integer (ties to even) from low to 255; 0
//                               where that is no number, which finite input of the order of the largest float can make
//       value of a byte q       s * (q - z)
//       the net's input         byte(x, 0) of each value; a uint8 pixel's is x = pixel * scale + shift, with scale =
//                               1 / (255 std) and shift = -mean / std, both rounded from double
//       convolution             a = sum of weight value * (q - z), exactly; a pixel of padding is q = z. Held in bytes, with s' and
//                               z': a * m + c rounded to an integer from low to 255, with m = scale * s / s' and
//                               c = bias / s' + z', both rounded from double, and low = z' under a ReLU, otherwise 0.
//                               Held in floats: a * m + bias with m = scale * s, then the ReLU.
//       max pool                the largest byte, or value
//       add                     the sum of two values, then the ReLU; held in bytes: byte(sum, 0)
//       global average          values are added row by row, from left to right, then multiplied with 1 / (height * width);
//                               held in bytes: byte(mean, 0)
// Whatever the bytes are, sums must stay within 32 bits and a * m + c within 2^30: a net is not made for integers if, for an
// output channel with S the sum of its weight values' magnitudes, 255 S is above 2^31 - 1 or (held in bytes) 255 S scale s / s' +
// |bias / s'| + 255 is not below 2^30. The sign of a zero is nobody's concern. Engines may compute any net in floats
// instead, as if there were no activation_scale.
//
// WHY COMPRESSED, AND WHY SO: of int4 values with the scale set by a channel's largest weight a fifth is zero and few are
// large: they have 3.3 bits, not 4. Together with bitmaps (half) and the halves' exponents (a third) that takes a sixth
// off the files of 100, 50 and 25 kB. Adapting needs no tables, which would cost small convs what they win, and reaches
// the entropy within one percent; contexts (the channel, the cluster next to it) won nothing. A stream decodes at some
// 25 ns a weight (Zen 4, 2.6 GHz), once: a load of 100 kB takes 5 ms, not 1.
//
// WHY A BITMAP AND NOT A LIST OF INDICES: a bitmap cannot point outside, twice or in the wrong order, so there is
// nothing to check but its population; and down to a density of one sixteenth it is smaller than 16-bit
// indices (one bit a cluster is 1/128 of the dense int8 size).
//
// WHY F16 FOR BIAS AND SCALE: evolution leaves nets so small that what each channel costs outweighs its weights:
// bias and scale in f32 were 8 bytes a channel, 24 kB for the 2954 of a SqueezeNet v1.1 with ten classes, of
// files that are to have 50 to 100 kB. Ten bits of mantissa are finer than the weights next to them; f32 weights,
// which are there to lose nothing, keep f32 biases. And scale * value fits a float exactly.
//
// WHY FOUR BITS: evolution fits nets into a budget of bytes, and kI4 holds twice the weights of kI8 in the same bytes:
// a net that is trained for 15 levels a channel may win more by the clusters than it loses by the levels. Engines that
// compute in floats widen both when they load, so it costs them nothing.
//
// WHY BYTES WITH A ZERO: after a ReLU all 8 bits are for values from 0 on; images lie around 0, and padding must be exactly 0.
// And why to the bit: a net's accuracy, once measured, is then that of every machine it runs on.
//
// SECTION kLabels (optional): the class names, as many as the net has outputs:
//    0  u32    count          at least 1; a net without labels has no such section
//    4  u32[count] bytes      of each name
//       u8[]                  the names, one after the other. They may be empty or equal (ImageNet has two
//                             classes "crane").
//
// SECTION kAbout (optional): free text for people, at least 1 byte: origin, data, licence.
//
// HISTORY
//   1  the first.
#pragma once

#include <cstddef>
#include <cstdint>

namespace squish {

inline constexpr uint8_t kMagic[8] = {0x89, 'S', 'Q', 'S', 'H', 0x0D, 0x0A, 0x1A};
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr size_t kHeaderBytes = 32;
inline constexpr size_t kSectionEntryBytes = 24;
inline constexpr size_t kSectionAlignment = 64;
inline constexpr size_t kPayloadAlignment = 16;
inline constexpr size_t kPartAlignment = 4;
inline constexpr size_t kLayerRecordBytes = 32;
inline constexpr size_t kConvRecordBytes = 40;
inline constexpr uint32_t kMaxSections = 64;
inline constexpr int kMaxInputChannels = 4;
inline constexpr int kMaxLayers = 4096;
inline constexpr uint64_t kMaxExpansion = 4;
inline constexpr int64_t kMaxWeights = int64_t{1} << 31;
inline constexpr int kMaxNameBytes = 255;
inline constexpr float kMaxMean = 0x1p60f;
inline constexpr float kMinStd = 0x1p-60f, kMaxStd = 0x1p60f;
inline constexpr float kMinActivationScale = 0x1p-40f, kMaxActivationScale = 0x1p40f;

inline constexpr uint32_t kOptionalSection = 0x80000000u;

enum class SectionKind : uint32_t {
  kInput = 1,
  kStrings = 2,
  kLayers = 3,
  kConvs = 4,
  kWeights = 5,
  kLabels = 6 | kOptionalSection,
  kAbout = 7 | kOptionalSection,
};

inline constexpr uint8_t kFlagRelu = 1;
inline constexpr uint8_t kFlagCeil = 2;

enum class LayerKind : uint8_t { kConv = 1, kFire = 2, kMaxPool = 3, kAdd = 4, kGlobalAveragePool = 5 };
enum class WeightEncoding : uint8_t { kDense = 0, kCluster16x1 = 1, kCluster16x4 = 2, kSynapse = 3 };
enum class WeightType : uint8_t { kF32 = 0, kF16 = 1, kI8 = 2, kI4 = 3 };
enum class Compression : uint8_t { kNone = 0, kAns = 1 };
enum class Interpolation : uint8_t { kNearest = 0, kBilinear = 1, kBicubic = 2 };

inline constexpr int kClusterRows = 16;  // output channels of a cluster

}  // namespace squish
