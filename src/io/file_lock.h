// A lock on a file that ends with the process, however that ends.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace hesse {

class FileLock {
 public:
  enum class Outcome {
    kTaken,
    kBusy,     // another process has it, or another FileLock of this one
    kUnknown,  // the file system knows no locks, as some network mounts; the file is open, nothing is held
  };

  FileLock() = default;
  ~FileLock() { release(); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // Once. Makes the file if it is missing, in a directory that exists; never waits. Error(kEnvironment) when the file
  // cannot be made.
  Outcome take(const std::filesystem::path& path);
  // What the file says, for whoever finds it busy. Only while it is open here.
  void set_text(std::string_view text);
  void release();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace hesse
