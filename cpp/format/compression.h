// A conv's payload in fewer bytes, and back. Called by the encoder and the parser.
#pragma once

#include <cstdint>
#include <vector>

#include "format/byte_reader.h"
#include "format/description.h"

namespace squish {

// Of a conv with weights of an integer type, whose parts lie in memory.
std::vector<uint8_t> compress_payload(const ConvDescription& conv);

// The payload as it would be without compression, of a conv whose fields are read and whose parts are not. `payload` says
// where the compressed bytes were taken from, for messages.
// Throws FormatError on bytes that compress_payload does not make; what the parts hold is not checked.
std::vector<uint8_t> decompress_payload(ByteSpan compressed, const ConvDescription& conv,
                                        const ByteReader& payload);

// Whether a reader takes a payload of `plain` bytes in `compressed` ones: a limit on the memory that a file asks for.
constexpr bool may_expand(uint64_t plain, uint64_t compressed) { return plain / kMaxExpansion <= compressed; }

}  // namespace squish
