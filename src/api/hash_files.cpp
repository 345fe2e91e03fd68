#include "api/hash_files.h"

#include <utility>

#include "io/file_sum.h"

namespace hesse {

namespace fs = std::filesystem;

std::vector<fs::path> input_files(const Job& job) {
  std::vector<fs::path> files;
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                           "tokenizer.model", "vocab.json", "merges.txt"}) {
    if (fs::exists(job.model_directory / name)) files.push_back(job.model_directory / name);
  }
  if (job.checkpoint != nullptr) {
    files.insert(files.end(), job.checkpoint->files().begin(), job.checkpoint->files().end());
  }
  return files;
}

std::vector<InputFile> calibration_inputs(const Job& job) {
  std::vector<InputFile> files;
  if (!job.windows) return files;
  for (const TextFacts& source : job.windows->files) {
    if (!source.sha256.empty()) files.push_back({source.name, source.bytes, source.sha256});
  }
  return files;
}

InputFile hash_file(const fs::path& path) {
  FileSum sum = sum_of_file(path);
  return {path.filename().string(), sum.bytes, std::move(sum.sha256)};
}

}  // namespace hesse
