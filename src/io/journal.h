// A file of entries that only grows, and that can be read whatever has happened to it. What an entry means is the
// caller's.
//
// "hesse journal 1\n", then for each entry: its length (8 bytes, little-endian), a SHA-256 over its place in the file,
// its length and its bytes (32 bytes), and the bytes. docs/FORMATS.md has an example.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"

namespace hesse {

struct JournalEntry {
  std::string payload;
  int64_t end = 0;  // in the file: where the next one begins
};

struct JournalContents {
  std::vector<JournalEntry> entries;  // those in front of the first bad one
  int64_t file_bytes = 0;
  // Good entries stand behind a bad one: something has changed the file. Else, what stands behind the last entry is one
  // that was cut while it was written, which is nothing to speak of.
  bool damaged = false;

  int64_t good_bytes() const { return entries.empty() ? 0 : entries.back().end; }
};

// Error(kEnvironment) when the file is there and cannot be read. One that is absent has no entries.
JournalContents read_journal(const std::filesystem::path& path);

class Journal {
 public:
  // Goes on behind the first `good_bytes` of the file, which hold whole entries; the rest is cut off.
  Journal(const std::filesystem::path& path, int64_t good_bytes) : file_(path, good_bytes) {}
  // Makes the file with one entry: it appears with that or not at all. Another of this name is replaced.
  static void create(const std::filesystem::path& path, std::string_view first_payload);
  // Returns when the entry is on the disk. After an error no other may be appended.
  void append(std::string_view payload);

 private:
  AppendFile file_;
};

}  // namespace hesse
