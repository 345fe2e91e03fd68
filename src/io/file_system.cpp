#include "io/file_system.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

namespace hesse {
namespace {

class PosixFileSystem : public FileSystem {
 public:
  int open(const char* path, int flags, mode_t mode) override { return ::open(path, flags, mode); }
  ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) override {
    return ::pwrite(descriptor, data, size, offset);
  }
  int fsync(int descriptor) override { return ::fsync(descriptor); }
  int ftruncate(int descriptor, off_t size) override { return ::ftruncate(descriptor, size); }
  int allocate(int descriptor, off_t size) override { return ::posix_fallocate(descriptor, 0, size); }
  int close(int descriptor) override { return ::close(descriptor); }
  int rename(const char* from, const char* to) override { return ::rename(from, to); }
  int unlink(const char* path) override { return ::unlink(path); }
  int mkdir(const char* path, mode_t mode) override { return ::mkdir(path, mode); }
  int rmdir(const char* path) override { return ::rmdir(path); }
};

// As the pool of threads, it belongs to the process: the disk is one.
std::atomic<FileSystem*> replaced{nullptr};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem posix;
  return posix;
}

FileSystem& file_system() {
  FileSystem* other = replaced.load(std::memory_order_acquire);
  return other != nullptr ? *other : posix_file_system();
}

void TEST_replace_file_system(FileSystem* other) { replaced.store(other, std::memory_order_release); }

}  // namespace hesse
