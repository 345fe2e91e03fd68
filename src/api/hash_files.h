// SHA-256 of the files that decide a result.
#pragma once

#include <filesystem>
#include <vector>

#include "hesse/types.h"
#include "run/job.h"

namespace hesse {

// Configuration, tokenizer and weights, as far as they are there.
std::vector<std::filesystem::path> input_files(const Job& job);
InputFile hash_file(const std::filesystem::path& path);
// The calibration text as it was read: of a large source no more than that is known.
std::vector<InputFile> calibration_inputs(const Job& job);

}  // namespace hesse
