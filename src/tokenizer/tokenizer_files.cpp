#include "tokenizer/tokenizer_files.h"

#include <fmt/format.h>

#include "hesse/error.h"
#include "io/file.h"
#include "tokenizer/gpt2_files.h"
#include "tokenizer/sentencepiece.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

Json read_json(const fs::path& path) { return Json::parse(read_text_file(path), path.string()); }

// Old checkpoints keep the special tokens in a file of their own.
Json read_config(const fs::path& directory) {
  Json config;
  if (const fs::path file = directory / "tokenizer_config.json"; fs::exists(file)) config = read_json(file);
  const fs::path legacy = directory / "special_tokens_map.json";
  if (config.is_object() && config.find("added_tokens_decoder") == nullptr && fs::exists(legacy)) {
    const Json map = read_json(legacy);
    for (const auto& [key, value] : map.as_object(legacy.string())) config.set(key, value);
  }
  return config;
}

}  // namespace

bool has_tokenizer_files(const fs::path& directory) {
  return fs::exists(directory / "tokenizer.json") || fs::exists(directory / "tokenizer.model") ||
         (fs::exists(directory / "vocab.json") && fs::exists(directory / "merges.txt"));
}

TokenizerFiles read_tokenizer_files(const fs::path& path) {
  TokenizerFiles files;
  const bool is_file = fs::is_regular_file(path);
  const fs::path directory = is_file ? path.parent_path() : path;
  const fs::path json = is_file ? path : path / "tokenizer.json";
  const fs::path model = is_file ? path : path / "tokenizer.model";
  files.config = read_config(directory);
  if (fs::exists(json) && json.extension() != ".model") {
    files.where = json.string();
    files.tokenizer = read_json(json);
  } else if (fs::exists(model)) {
    files.where = model.string();
    const SentencePieceModel pieces = parse_sentencepiece(read_text_file(model), files.where);
    files.tokenizer = sentencepiece_as_json(pieces, files.where);
    // What the config does not say, not even with a null, the model does.
    if (files.config.is_null()) files.config = Json::object();
    const Json named = sentencepiece_special_tokens(pieces);
    for (const auto& [key, value] : named.as_object(files.where)) {
      if (files.config.find(key) == nullptr) files.config.set(key, value);
    }
  } else if (fs::exists(directory / "vocab.json") && fs::exists(directory / "merges.txt")) {
    files.where = (directory / "vocab.json").string();
    files.tokenizer = gpt2_files_as_json(directory, files.config);
  } else {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[tokenizer] {}: there is no tokenizer.json, no tokenizer.model, and no vocab.json with "
                            "merges.txt; fetch the tokenizer of the model",
                            path.string()));
  }
  return files;
}

}  // namespace hesse
