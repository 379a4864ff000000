// The one parser of untrusted bytes. Called by Model::load; fuzzed by tools/fuzz.
#pragma once

#include "format/description.h"

namespace squish {

// Reads a whole .squish file. The result's spans point into `file`, which must outlive it.
// Throws FormatError on anything that layout.h does not allow. Allocates in proportion to file.size.
// verify_checksums=false is for fuzzing and for tests that break one field at a time.
NetDescription parse(ByteSpan file, bool verify_checksums = true);

}  // namespace squish
