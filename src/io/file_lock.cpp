#include "io/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "hesse/error.h"
#include "io/file_system.h"

namespace hesse {
namespace {

constexpr mode_t kMode = 0666;  // less the umask

[[noreturn]] void fail(const std::filesystem::path& path, const char* doing) {
  throw Error(ErrorKind::kEnvironment, fmt::format("[lock] {}: cannot {}: {}", path.string(), doing,
                                                   std::error_code(errno, std::generic_category()).message()));
}

// Its owner may have removed the file between our opening and our locking it; the lock is then on nothing.
bool is_still_there(int descriptor, const std::filesystem::path& path) {
  struct stat held {
  }, named{};
  return ::fstat(descriptor, &held) == 0 && ::stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
         held.st_dev == named.st_dev;
}

}  // namespace

FileLock::Outcome FileLock::take(const std::filesystem::path& path) {
  path_ = path;
  for (;;) {
    descriptor_ = file_system().open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kMode);
    if (descriptor_ < 0) fail(path, "create");
    const bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    const int number = errno;
    if (!locked && number != EWOULDBLOCK) return Outcome::kUnknown;
    if (locked && is_still_there(descriptor_, path)) return Outcome::kTaken;
    release();
    if (!locked) return Outcome::kBusy;
  }
}

void FileLock::set_text(std::string_view text) {
  if (file_system().ftruncate(descriptor_, 0) != 0) fail(path_, "cut");
  const ssize_t count = file_system().pwrite(descriptor_, text.data(), text.size(), 0);
  if (count >= 0 && static_cast<size_t>(count) < text.size()) errno = ENOSPC;
  if (count < static_cast<ssize_t>(text.size())) fail(path_, "write");
}

void FileLock::release() {
  if (descriptor_ >= 0) file_system().close(std::exchange(descriptor_, -1));
}

}  // namespace hesse
