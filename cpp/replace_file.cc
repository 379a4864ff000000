#include "replace_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <string>

#include "squish/error.h"

namespace squish {
namespace {

// N of "/dev/fd/N", -1 of other paths.
int named_descriptor(const std::string& path) {
  constexpr size_t kMaxDigits = 9;
  for (const std::string& folder : {std::string("/dev/fd/"), std::string("/proc/self/fd/")}) {
    const std::string name = path.compare(0, folder.size(), folder) == 0 ? path.substr(folder.size()) : "";
    const bool is_number = name.find_first_not_of("0123456789") == std::string::npos;
    if (is_number && !name.empty() && name.size() <= kMaxDigits) return std::stoi(name);
  }
  return -1;
}

// What a chain of symbolic links ends at, there or not; or an open descriptor, whose link leads to words like "pipe:[7]".
std::string followed(std::string path) {
  constexpr int kMaxLinks = 40;  // as Linux; a longer chain is a circle
  char target[PATH_MAX];
  for (int k = 0; k < kMaxLinks && named_descriptor(path) < 0; ++k) {
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    if (length < 0) break;  // no link
    const std::string next(target, static_cast<size_t>(length));
    const size_t folder = next[0] == '/' ? 0 : path.rfind('/') + 1;  // npos + 1 is 0
    path.replace(folder, std::string::npos, next);
  }
  return path;
}

// False with errno set where any step fails: a full disk may show only when the file is closed.
bool write_and_close(int descriptor, const void* bytes, size_t size) {
  const auto* next = static_cast<const uint8_t*>(bytes);
  int failure = 0;
  while (size > 0 && failure == 0) {
    const ssize_t written = ::write(descriptor, next, size);
    if (written < 0) {
      failure = errno == EINTR ? 0 : errno;
      continue;
    }
    next += written;
    size -= static_cast<size_t>(written);
  }
  if (::close(descriptor) != 0 && failure == 0) failure = errno;
  errno = failure;
  return failure == 0;
}

// A new file beside `path`, whose name no other thread and no other process has. -1 with errno set where there is none.
int create_beside(const std::string& path, mode_t mode, std::string& beside) {
  constexpr size_t kLongName = 200;  // of the 255 bytes that a name may have
  static std::atomic<unsigned> count{0};
  const size_t folder = path.rfind('/') + 1;  // npos + 1 is 0
  const std::string begin = path.size() - folder > kLongName ? path.substr(0, folder) + "squish" : path;
  int descriptor = -1;
  do {
    beside = begin + "." + std::to_string(::getpid()) + "-" + std::to_string(++count) + ".tmp";
    descriptor = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  } while (descriptor < 0 && errno == EEXIST);  // left by a process of this number that died
  return descriptor;
}

// To what is no file; and to an open one at the place where its other writers are.
bool write_in_place(const std::string& path, const void* bytes, size_t size) {
  const int open_one = named_descriptor(path);
  const int descriptor =
      open_one >= 0 ? ::fcntl(open_one, F_DUPFD_CLOEXEC, 0) : ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  return descriptor >= 0 && write_and_close(descriptor, bytes, size);
}

bool write_and_rename(const std::string& path, mode_t mode, const void* bytes, size_t size) {
  std::string beside;
  const int descriptor = create_beside(path, mode, beside);
  if (descriptor < 0) return false;
  if (write_and_close(descriptor, bytes, size) && std::rename(beside.c_str(), path.c_str()) == 0) return true;
  const int failure = errno;
  std::remove(beside.c_str());
  errno = failure;
  return false;
}

// Whether there is one. Throws where that cannot be told.
bool exists(const std::string& path, struct stat& file) {
  if (::stat(path.c_str(), &file) == 0) return true;
  if (errno != ENOENT && errno != ENOTDIR) throw IoError("write", path, errno);
  return false;
}

}  // namespace

void replace_file(const std::string& path, const void* bytes, size_t size) {
  constexpr mode_t kNewFile = 0666, kPermissions = 0777;  // less the umask
  struct stat old{};
  const bool is_other = exists(path, old) && !S_ISREG(old.st_mode);
  const std::string target = is_other ? path : followed(path);
  const bool in_place = is_other || named_descriptor(target) >= 0;
  const mode_t mode = exists(target, old) ? old.st_mode & kPermissions : kNewFile;
  const bool written =
      in_place ? write_in_place(target, bytes, size) : write_and_rename(target, mode, bytes, size);
  if (!written) throw IoError("write", path, errno);
}

}  // namespace squish
