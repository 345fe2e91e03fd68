// Text into windows of token ids, for calibration and for evaluation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "hesse/types.h"
#include "tokenizer/tokenizer.h"

namespace hesse {

// Token ids, one window a row; windows never overlap.
struct Windows {
  Matrix<int32_t> ids;                // [count, length]
  int64_t bos = 0;                    // 1 when column 0 is the BOS token
  std::vector<std::string> notes;     // what the caller should tell the user
  std::vector<TextFacts> files = {};  // that they were cut from

  int64_t count() const { return ids.rows(); }
  int64_t length() const { return ids.cols(); }
};

struct WindowOptions {
  int64_t length = 512;  // tokens, the BOS token not counted
  int64_t count = 0;     // windows at most; 0: all
  bool bos = false;      // put the BOS token before each: rows are then length + 1 long
};

// The tokenizer is the one of `model_directory`.
//
// Calibration: the windows of each file are shuffled by `seed` and the files take turns until `count` are there. With
// `bos` the BOS token counts as one of `length`. Fewer windows than asked for are a note, none at all is
// Error(kBadInput) with the number of tokens. No special tokens are added but this BOS.
Windows calibration_windows(const std::vector<std::filesystem::path>& files,
                            const std::filesystem::path& model_directory, const WindowOptions& options, uint64_t seed);
Windows calibration_windows(const std::vector<std::filesystem::path>& files, const Tokenizer& tokenizer,
                            const WindowOptions& options, uint64_t seed);

// Evaluation: the texts are joined and cut from the beginning.
Windows evaluation_windows(const std::vector<std::filesystem::path>& files,
                           const std::filesystem::path& model_directory, const WindowOptions& options);

// The ids of a text that is no file's, or of a whole file: without special tokens. `name` stands in complaints.
std::vector<int32_t> tokens_of(const std::string& text, const std::string& name, const Tokenizer& tokenizer);

// The id of BOS; Error(kUsage) when there is none, and yet windows should begin with it.
int32_t require_bos(const Tokenizer& tokenizer);

// Error(kBadInput) when an id has no row in an embedding of `vocab` rows.
void require_ids_in_vocabulary(const Windows& windows, int64_t vocab);

}  // namespace hesse
