// The exceptions of the library. Every message says what, where, what was got and what was wanted.
// The library never prints, aborts or exits.
#pragma once

#include <stdexcept>
#include <string>

namespace squish {

// Base of everything the library throws on purpose. (Out of memory stays std::bad_alloc.)
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The .squish file is wrong: damaged, hostile, or of a version this library does not read.
class FormatError : public Error {
 public:
  using Error::Error;
};

// The file could not be opened, read or written: a matter of the file system, not of the bytes.
class IoError : public Error {
 public:
  // IoError("open", "net.squish", ENOENT) says "cannot open 'net.squish': No such file or directory".
  IoError(const std::string& what, std::string path, int code);

  const std::string& path() const { return path_; }
  int code() const { return code_; }  // the system's errno

 private:
  std::string path_;
  int code_;
};

// The caller is wrong: a shape, a size, an option.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

// The device or instruction set that was asked for is not here.
class DeviceError : public Error {
 public:
  using Error::Error;
};

}  // namespace squish
