#include "squish/error.h"

#include <system_error>
#include <utility>

namespace squish {

IoError::IoError(const std::string& what, std::string path, int code)
    : Error("cannot " + what + " '" + path + "': " + std::generic_category().message(code)),
      path_(std::move(path)),
      code_(code) {}

}  // namespace squish
