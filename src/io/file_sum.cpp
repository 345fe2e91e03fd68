#include "io/file_sum.h"

#include <algorithm>

#include "base/sha256.h"
#include "io/file.h"

namespace hesse {

FileSum sum_of_file(const std::filesystem::path& path) {
  constexpr int64_t kPiece = int64_t{8} << 20;  // in memory at a time
  const MappedFile file(path);
  Sha256 hash;
  for (int64_t first = 0; first < file.size(); first += kPiece) {
    const int64_t size = std::min(kPiece, file.size() - first);
    hash.update(file.bytes().data() + first, static_cast<size_t>(size));
    file.dont_need(first, size);
  }
  return {file.size(), hash.hex()};
}

}  // namespace hesse
