// Calibration sources into windows of token ids.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/windows.h"
#include "tokenizer/tokenizer.h"

namespace hesse {

struct CalibrationOptions {
  int64_t length = 512;     // tokens a window, BOS counted
  int64_t count = 128;      // windows
  bool bos = false;         // put BOS in front of each
  uint64_t seed = 0;        // order of the windows of a source, and the random tokens
  bool pack = true;         // documents stand behind each other; false: a window holds tokens of one document alone
  double random_share = 0;  // of the windows, made of random tokens
  bool strict = false;      // a line of JSONL that cannot be used is an error
  int64_t most_bytes = int64_t{64} << 20;  // that are read of a source, at least; see read_documents()
};

// `sources` as parse_source() has them. A document that stands there already, in whatever source, is left out. Each
// source is cut into windows from its beginning; they are shuffled by the seed; and the sources take turns in the
// proportion of their weights, until `count` windows are there or all is used. Conversations go through the model's
// chat template. A window whose text begins with BOS gets no second one. No other special tokens are added, and there
// is no padding.
//
// Fewer windows than asked for are a note; a source without one is Error(kBadInput) with its number of tokens.
Windows calibration_windows(const std::vector<std::string>& sources, const std::filesystem::path& model_directory,
                            const Tokenizer& tokenizer, const CalibrationOptions& options);

}  // namespace hesse
