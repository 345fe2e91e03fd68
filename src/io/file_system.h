// The calls that change the disk. All of them go through one object, so that tests can fail each of them in turn, or
// end the process there.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace hesse {

// Each method is the POSIX call of its name: -1 and errno where that fails. Any thread may call.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual int open(const char* path, int flags, mode_t mode) = 0;  // for writing
  virtual ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) = 0;
  virtual int fsync(int descriptor) = 0;  // of a file or a directory
  virtual int ftruncate(int descriptor, off_t size) = 0;
  virtual int allocate(int descriptor, off_t size) = 0;  // posix_fallocate from 0 on; returns the error, not -1
  virtual int close(int descriptor) = 0;                 // of a file that was written
  virtual int rename(const char* from, const char* to) = 0;
  virtual int unlink(const char* path) = 0;
  virtual int mkdir(const char* path, mode_t mode) = 0;
  virtual int rmdir(const char* path) = 0;
};

// That of this process: POSIX, unless a test has put another in its place.
FileSystem& file_system();
// nullptr: POSIX again. `other` must live as long as it is in place; no other thread may be at work on files.
void TEST_replace_file_system(FileSystem* other);
FileSystem& posix_file_system();

}  // namespace hesse
