// Files: mapped for reading, written at planned offsets, synced. Errors name the path and what the system said: what is
// absent or of the wrong sort is kBadInput when read; a full disk, a missing permission or a failing device is
// kEnvironment. What changes the disk goes through io/file_system.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace hesse {

// A whole regular file mapped read-only; an empty one has no bytes. Movable. The bytes stay valid as long as it lives.
// A file that another program shrinks or rewrites meanwhile is out of scope: the system answers with SIGBUS.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, static_cast<size_t>(size_)}; }
  int64_t size() const { return size_; }
  // Tells the kernel that [begin, begin + size) will be read soon, or is not needed any more. Only advice: the bytes
  // stay readable, parts outside the file are ignored, and pages shared with a neighbour are kept by dont_need().
  void will_need(int64_t begin, int64_t size) const;
  void dont_need(int64_t begin, int64_t size) const;
  // Share of [begin, begin + size) that lies in memory already; reading it tells nothing of the disk.
  double share_in_memory(int64_t begin, int64_t size) const;

 private:
  const std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

// The bytes of a file or pipe, in order.
class FileReader {
 public:
  explicit FileReader(const std::filesystem::path& path);
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
  // The next bytes, as many as are there by now; 0 only at the end.
  size_t read(char* out, size_t size);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// The whole of a file, a pipe included.
std::string read_text_file(const std::filesystem::path& path);

// A file under construction: written at any offset, synced on finish(). Removed when destroyed unfinished.
// Several threads may write_at() at once.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);  // creates; an existing file is an error
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write_at(int64_t offset, const void* data, int64_t size);
  // Syncs and closes; throws if either fails, and the file is removed then. Nothing may be written afterwards.
  void finish();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// A file that grows at its end.
class AppendFile {
 public:
  // The file exists; what it has behind `size` is cut off.
  AppendFile(const std::filesystem::path& path, int64_t size);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  // Returns when the bytes are on the disk. After an error nothing more may be appended: what the file holds behind
  // size() is not known.
  void append(std::string_view bytes);
  int64_t size() const { return size_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  bool failed_ = false;
};

// Creates `path` with `text`, synced. For files inside a StagedDirectory.
void write_text_file(const std::filesystem::path& path, std::string_view text);
void copy_file_synced(const std::filesystem::path& from, const std::filesystem::path& to);
// Makes what was written to a file, or renamed within a directory, last.
void sync_path(const std::filesystem::path& path);
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);
void remove_file(const std::filesystem::path& path);  // one that is absent already is no error
// `path` and its parents, as far as they are missing.
void make_directories(const std::filesystem::path& path);
// A file, or a directory with all it holds; symbolic links are removed, not followed. False: something stayed.
bool remove_tree(const std::filesystem::path& path);
bool remove_empty_directory(const std::filesystem::path& path);  // false: it holds something, or it cannot be removed
int64_t free_disk_bytes(const std::filesystem::path& path);      // that this user may take; 0 when it is not known

}  // namespace hesse
