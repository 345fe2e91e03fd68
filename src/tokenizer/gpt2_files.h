// vocab.json and merges.txt: byte-level BPE as GPT-2 was published.
#pragma once

#include <filesystem>
#include <string>

#include "io/json.h"

namespace hesse {

// The tokenizer.json that means the same as DIR/vocab.json, DIR/merges.txt and, when there, DIR/added_tokens.json.
// "tokenizer_class" of `config` (tokenizer_config.json; may be null) says how text is cut: Error(kBadInput) for a class
// that Hesse does not know, since a wrong cut would give wrong ids without a word.
Json gpt2_files_as_json(const std::filesystem::path& directory, const Json& config);

}  // namespace hesse
