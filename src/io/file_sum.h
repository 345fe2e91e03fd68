// Size and SHA-256 of a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace hesse {

struct FileSum {
  int64_t bytes = 0;
  std::string sha256;  // hexadecimal
  bool operator==(const FileSum&) const = default;
};

// Errors as MappedFile has them.
FileSum sum_of_file(const std::filesystem::path& path);

}  // namespace hesse
