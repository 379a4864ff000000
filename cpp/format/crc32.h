// CRC-32 as in zlib, PNG and gzip.
#pragma once

#include <cstdint>

#include "format/description.h"

namespace squish {

// The CRC of everything `previous` is the CRC of, followed by `bytes`.
uint32_t crc32(ByteSpan bytes, uint32_t previous = 0);

}  // namespace squish
