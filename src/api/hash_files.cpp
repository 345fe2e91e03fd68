#include "api/hash_files.h"

#include <algorithm>

#include "base/sha256.h"
#include "io/file.h"

namespace hesse {

namespace fs = std::filesystem;

std::vector<fs::path> input_files(const Job& job) {
  std::vector<fs::path> files;
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
    if (fs::exists(job.model_directory / name)) files.push_back(job.model_directory / name);
  }
  if (job.checkpoint != nullptr) {
    files.insert(files.end(), job.checkpoint->files().begin(), job.checkpoint->files().end());
  }
  files.insert(files.end(), job.options.calibration.begin(), job.options.calibration.end());
  return files;
}

InputFile hash_file(const fs::path& path) {
  constexpr int64_t kPiece = int64_t{8} << 20;  // mapped at a time
  const MappedFile file(path);
  Sha256 hash;
  for (int64_t first = 0; first < file.size(); first += kPiece) {
    const int64_t size = std::min(kPiece, file.size() - first);
    hash.update(file.bytes().data() + first, static_cast<size_t>(size));
    file.dont_need(first, size);
  }
  return {path.filename().string(), file.size(), hash.hex()};
}

}  // namespace hesse
