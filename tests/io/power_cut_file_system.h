// A file system on which nothing lasts that was not synced: at one call the power is cut, all of the rest is undone,
// and the process ends. Real disks lose some of it or nothing; this one loses as much as it may.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/faulty_file_system.h"

namespace hesse {

// One thread at a time.
class PowerCutFileSystem : public FileSystem {
 public:
  // `trash`: an empty directory on the same disk for what may have to come back. 0: the power stays.
  PowerCutFileSystem(std::filesystem::path trash, int64_t call) : trash_(std::move(trash)), call_(call) {
    TEST_replace_file_system(this);
  }
  ~PowerCutFileSystem() override { TEST_replace_file_system(nullptr); }
  PowerCutFileSystem(const PowerCutFileSystem&) = delete;
  PowerCutFileSystem& operator=(const PowerCutFileSystem&) = delete;

  int64_t calls() const { return calls_; }

  int open(const char* path, int flags, mode_t mode) override {
    count();
    const bool is_new = ::access(path, F_OK) != 0;
    const int descriptor = posix_file_system().open(path, flags, mode);
    if (descriptor < 0) return descriptor;
    if (is_new) undo_in(path, [p = std::string(path)] { ::unlink(p.c_str()); });
    struct stat status {};
    ::fstat(descriptor, &status);
    // What is in a file when it is opened counts as synced: it is, or the process before was not cut from power.
    if (const auto known = synced_.find(status.st_ino); known == synced_.end())
      synced_[status.st_ino] = {::dup(descriptor), status.st_size};
    return descriptor;
  }
  ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) override {
    count();
    return posix_file_system().pwrite(descriptor, data, size, offset);
  }
  int ftruncate(int descriptor, off_t size) override {
    count();
    return posix_file_system().ftruncate(descriptor, size);
  }
  int allocate(int descriptor, off_t size) override {
    count();
    return posix_file_system().allocate(descriptor, size);
  }
  int fsync(int descriptor) override {
    count();
    struct stat status {};
    ::fstat(descriptor, &status);
    if (!S_ISDIR(status.st_mode)) {
      synced_[status.st_ino].size = status.st_size;
      return 0;
    }
    std::erase_if(undo_, [&](const Undo& undo) { return undo.directory == status.st_ino; });
    return 0;
  }
  int close(int descriptor) override {
    count();
    return posix_file_system().close(descriptor);
  }
  int rename(const char* from, const char* to) override {
    count();
    std::string before;
    if (::access(to, F_OK) == 0) {
      before = trash_name();
      ::rename(to, before.c_str());
    }
    const int result = posix_file_system().rename(from, to);
    undo_in(to, [f = std::string(from), t = std::string(to), before] {
      ::rename(t.c_str(), f.c_str());
      if (!before.empty()) ::rename(before.c_str(), t.c_str());
    });
    return result;
  }
  int unlink(const char* path) override {
    count();
    const std::string kept = trash_name();
    if (::rename(path, kept.c_str()) != 0) return -1;
    undo_in(path, [p = std::string(path), kept] { ::rename(kept.c_str(), p.c_str()); });
    return 0;
  }
  int mkdir(const char* path, mode_t mode) override {
    count();
    const int result = posix_file_system().mkdir(path, mode);
    if (result == 0) undo_in(path, [p = std::filesystem::path(path)] { std::filesystem::remove_all(p); });
    return result;
  }
  int rmdir(const char* path) override {
    count();
    const int result = posix_file_system().rmdir(path);
    if (result == 0) undo_in(path, [p = std::string(path)] { ::mkdir(p.c_str(), 0777); });
    return result;
  }

 private:
  struct Undo {
    ino_t directory = 0;  // whose sync makes it last
    std::function<void()> action;
  };
  struct Synced {
    int descriptor = -1;
    off_t size = 0;
  };

  std::string trash_name() { return (trash_ / std::to_string(++in_trash_)).string(); }

  void undo_in(const char* path, std::function<void()> action) {
    struct stat status {};
    ::stat(std::filesystem::path(path).parent_path().c_str(), &status);
    undo_.push_back({status.st_ino, std::move(action)});
  }

  void count() {
    if (++calls_ != call_) return;
    for (const auto& [inode, file] : synced_) {
      if (::ftruncate(file.descriptor, file.size) != 0) ::_exit(1);
    }
    for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) undo->action();
    ::_exit(kKilled);
  }

  std::filesystem::path trash_;
  int64_t call_;
  int64_t calls_ = 0;
  int64_t in_trash_ = 0;
  std::map<ino_t, Synced> synced_;  // bytes of each file that last
  std::vector<Undo> undo_;
};

}  // namespace hesse
