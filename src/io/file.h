// Files: mapped for reading, written aside and renamed. Errors name the path and what the system said; damage and
// absence are kBadInput, a full disk or missing permission kEnvironment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hesse {

// A whole file mapped read-only. Movable. The bytes stay valid as long as it lives.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, static_cast<size_t>(size_)}; }
  int64_t size() const { return size_; }
  // Tells the kernel that [begin, begin + size) will be read soon, or is not needed any more.
  void will_need(int64_t begin, int64_t size) const;
  void dont_need(int64_t begin, int64_t size) const;

 private:
  const std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

std::string read_text_file(const std::filesystem::path& path);  // whole file; Error when absent

// A file under construction: written at any offset, synced on finish(). Removed when destroyed unfinished.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);  // creates; an existing file is an error
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write_at(int64_t offset, const void* data, int64_t size);
  void finish();  // fsync and close; throws if either fails

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Creates `path` with `text`, synced. For files inside a StagedDirectory.
void write_text_file(const std::filesystem::path& path, std::string_view text);
void copy_file_synced(const std::filesystem::path& from, const std::filesystem::path& to);

// A result directory that appears whole or not at all: files are made in a sibling directory ".NAME.partial-PID",
// publish() syncs it and renames it to its name. Destroyed unpublished, it is removed with all it holds.
class StagedDirectory {
 public:
  // `target` must not exist, unless `overwrite`: then publish() replaces it (the old one is moved away before the
  // rename and deleted after it). Throws kUsage when it exists and may not be replaced, or when it exists and is not a
  // directory that Hesse wrote (no `marker` file inside), kEnvironment when the parent cannot be written.
  StagedDirectory(const std::filesystem::path& target, bool overwrite, std::string_view marker);
  ~StagedDirectory();
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  const std::filesystem::path& path() const { return staging_; }  // write here
  void publish();

 private:
  std::filesystem::path target_;
  std::filesystem::path staging_;
  bool published_ = false;
};

}  // namespace hesse
