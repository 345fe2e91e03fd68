// A file system that counts the calls that change the disk, and fails one of them or ends the process there.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>

#include "io/file_system.h"

namespace hesse {

struct Fault {
  enum class What {
    kNone,
    kFail,         // the call fails with `number` and does nothing
    kFailAlways,   // so do all that follow it: a full disk, a mount that has become read-only
    kShortWrites,  // no write takes more than `number` bytes
    kKillBefore,   // the process ends in place of the call
    kKillInside,   // half of a write is done, then the process ends; other calls as kKillBehind
    kKillBehind,
  };
  What what = What::kNone;
  int64_t call = 0;  // counted from 1
  int number = 0;
  bool real_sync = true;  // false: fsync only counts, which is quicker; a killed process loses nothing by it
};

constexpr int kKilled = 137;  // exit code

class FaultyFileSystem : public FileSystem {
 public:
  explicit FaultyFileSystem(const Fault& fault = {}) : fault_(fault) { TEST_replace_file_system(this); }
  ~FaultyFileSystem() override { TEST_replace_file_system(nullptr); }
  FaultyFileSystem(const FaultyFileSystem&) = delete;
  FaultyFileSystem& operator=(const FaultyFileSystem&) = delete;

  int64_t calls() const { return calls_; }

  int open(const char* path, int flags, mode_t mode) override {
    return at_point([&] { return posix().open(path, flags, mode); });
  }
  ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) override {
    using What = Fault::What;
    if (fault_.what == What::kShortWrites) size = std::min(size, static_cast<size_t>(fault_.number));
    if (fault_.what == What::kKillInside && calls_ + 1 == fault_.call) size /= 2;
    return at_point([&] { return posix().pwrite(descriptor, data, size, offset); });
  }
  int fsync(int descriptor) override {
    return at_point([&] { return fault_.real_sync ? posix().fsync(descriptor) : 0; });
  }
  int ftruncate(int descriptor, off_t size) override {
    return at_point([&] { return posix().ftruncate(descriptor, size); });
  }
  int allocate(int descriptor, off_t size) override {
    errno = 0;
    const int result = at_point([&] { return posix().allocate(descriptor, size); });
    return result == -1 ? errno : result;
  }
  // A descriptor is closed even where that is said to fail, as Linux does it.
  int close(int descriptor) override {
    const int result = at_point([&] { return posix().close(descriptor); });
    const int number = errno;
    if (result != 0) posix().close(descriptor);
    errno = number;
    return result;
  }
  int rename(const char* from, const char* to) override {
    return at_point([&] { return posix().rename(from, to); });
  }
  int unlink(const char* path) override {
    return at_point([&] { return posix().unlink(path); });
  }
  int mkdir(const char* path, mode_t mode) override {
    return at_point([&] { return posix().mkdir(path, mode); });
  }
  int rmdir(const char* path) override {
    return at_point([&] { return posix().rmdir(path); });
  }

 private:
  static FileSystem& posix() { return posix_file_system(); }

  template <class Call>
  auto at_point(Call call) -> decltype(call()) {
    using What = Fault::What;
    const int64_t count = ++calls_;
    const bool here = count == fault_.call;
    if (here && fault_.what == What::kKillBefore) ::_exit(kKilled);
    if ((here && fault_.what == What::kFail) || (count >= fault_.call && fault_.what == What::kFailAlways)) {
      errno = fault_.number;
      return -1;
    }
    const auto result = call();
    if (here && (fault_.what == What::kKillInside || fault_.what == What::kKillBehind)) ::_exit(kKilled);
    return result;
  }

  Fault fault_;
  std::atomic<int64_t> calls_{0};
};

}  // namespace hesse
