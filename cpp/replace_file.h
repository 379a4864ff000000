// Writes a whole file. Called by the bindings, which write nets, and by the tools, which write reports.
#pragma once

#include <cstddef>
#include <string>

namespace squish {

// Makes a regular file, or replaces one in one step: whoever reads it sees the old bytes or the new, never half.
// Symbolic links are followed; what is no regular file, a device or a pipe, and what is open already ("/dev/stdout",
// "/dev/fd/3") is written into. Throws IoError.
void replace_file(const std::string& path, const void* bytes, size_t size);

}  // namespace squish
