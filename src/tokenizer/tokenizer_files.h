// The files of a model directory that say how its text becomes tokens.
#pragma once

#include <filesystem>
#include <string>

#include "io/json.h"

namespace hesse {

struct TokenizerFiles {
  Json tokenizer;     // tokenizer.json, or what the files of older kinds mean, written as one
  Json config;        // tokenizer_config.json; null: none
  std::string where;  // the file that `tokenizer` was read from, for messages
};

// tokenizer.json if it is there, else tokenizer.model, else vocab.json and merges.txt. Error(kBadInput) that lists
// these names when there is none of them. `path` may also be a file: tokenizer.json under any name, or a *.model.
TokenizerFiles read_tokenizer_files(const std::filesystem::path& path);

// Whether read_tokenizer_files() would find something to read.
bool has_tokenizer_files(const std::filesystem::path& directory);

}  // namespace hesse
