// Windows of token ids; those of an evaluation text. Those of calibration: data/calibration.h.
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
  Matrix<int32_t> ids;                    // [count, length]
  int64_t bos = 0;                        // 1 when column 0 is the BOS token
  std::vector<std::string> notes;         // what the caller should tell the user
  std::vector<TextFacts> files = {};      // the sources that they were cut from
  std::vector<std::string> skipped = {};  // documents that could not be used, and why
  std::vector<std::string> parts = {};    // sources that were not read whole
  int64_t predicted_bytes = 0;            // of an evaluation: of the text that the predicted tokens stand for
  std::string text_sha256 = {};           // of an evaluation: of the whole text

  int64_t count() const { return ids.rows(); }
  int64_t length() const { return ids.cols(); }
};

struct WindowOptions {
  int64_t length = 512;       // tokens, the BOS token not counted
  int64_t count = 0;          // windows at most; 0: all
  std::string bos = "never";  // whether to put BOS before each, as begins_with_bos() has it: rows are then longer by 1
};

// The tokenizer is the one of `model_directory`.
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
