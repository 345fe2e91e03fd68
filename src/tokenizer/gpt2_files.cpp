#include "tokenizer/gpt2_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "hesse/error.h"
#include "io/file.h"
#include "tokenizer/component.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kQwenRegex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

enum class Cut { kGpt2, kQwen, kRoberta };

struct TokenizerClass {
  std::string_view name;  // without "Fast"
  Cut cut;
};

constexpr std::array<TokenizerClass, 11> kClasses = {{
    {"GPT2Tokenizer", Cut::kGpt2},
    {"GPTNeoXTokenizer", Cut::kGpt2},
    {"CodeGenTokenizer", Cut::kGpt2},
    {"PreTrainedTokenizer", Cut::kGpt2},
    {"TokenizersBackend", Cut::kGpt2},
    {"Qwen2Tokenizer", Cut::kQwen},
    {"Qwen3Tokenizer", Cut::kQwen},
    {"RobertaTokenizer", Cut::kRoberta},
    {"BartTokenizer", Cut::kRoberta},
    {"LongformerTokenizer", Cut::kRoberta},
    {"LEDTokenizer", Cut::kRoberta},
}};

Cut cut_of(const Json& config) {
  std::string name = Component{config, "tokenizer_config.json"}.optional_string("tokenizer_class");
  if (name.empty()) return Cut::kGpt2;
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  std::string known;
  for (const TokenizerClass& row : kClasses) {
    if (row.name == name) return row.cut;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
  }
  throw Error(
      ErrorKind::kBadInput,
      fmt::format("[tokenizer] tokenizer_config.json: vocab.json and merges.txt of the class '{}' cannot be read; "
                  "known: {}; save the tokenizer as tokenizer.json",
                  name, known));
}

Json byte_level(bool prefix_space, bool use_regex) {
  return Json::Object{
      {"type", "ByteLevel"}, {"add_prefix_space", prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json pretokenizer_of(Cut cut, bool prefix_space) {
  if (cut != Cut::kQwen) return byte_level(prefix_space, true);
  Json::Array parts;
  parts.push_back(Json::Object{{"type", "Split"},
                               {"pattern", Json::Object{{"Regex", kQwenRegex}}},
                               {"behavior", "Isolated"},
                               {"invert", false}});
  parts.push_back(byte_level(prefix_space, false));
  return Json::Object{{"type", "Sequence"}, {"pretokenizers", std::move(parts)}};
}

Json merges_of(const fs::path& path) {
  Json::Array merges;
  const std::string text = read_text_file(path);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    while (line.ends_with('\r') || line.ends_with(' ')) line.pop_back();
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(std::move(line));
  }
  return merges;
}

// {"content": id}, in the order of the ids.
Json added_tokens_of(const fs::path& path) {
  Json::Array tokens;
  if (!fs::exists(path)) return tokens;
  const Json json = Json::parse(read_text_file(path), path.string());
  std::vector<std::pair<int64_t, std::string>> by_id;
  for (const auto& [content, id] : json.as_object(path.string())) by_id.emplace_back(id.as_int(path.string()), content);
  std::sort(by_id.begin(), by_id.end());
  for (auto& [id, content] : by_id) {
    tokens.push_back(
        Json::Object{{"id", id}, {"content", std::move(content)}, {"normalized", true}, {"special", false}});
  }
  return tokens;
}

// <s> TEXT </s>, by the ids of the vocabulary.
Json roberta_of(const Json& vocab, bool prefix_space) {
  const auto token = [&](const char* content) {
    const Json* id = vocab.find(content);
    if (id == nullptr)
      throw Error(ErrorKind::kBadInput, fmt::format("[tokenizer] vocab.json: the token '{}' is missing", content));
    return Json::Array{content, *id};
  };
  return Json::Object{{"type", "RobertaProcessing"},
                      {"sep", token("</s>")},
                      {"cls", token("<s>")},
                      {"trim_offsets", true},
                      {"add_prefix_space", prefix_space}};
}

}  // namespace

Json gpt2_files_as_json(const fs::path& directory, const Json& config) {
  const Cut cut = cut_of(config);
  const bool prefix_space = Component{config, "tokenizer_config.json"}.boolean("add_prefix_space", false);
  const fs::path vocab_path = directory / "vocab.json";
  Json vocab = Json::parse(read_text_file(vocab_path), vocab_path.string());
  Json post = cut == Cut::kRoberta ? roberta_of(vocab, prefix_space) : Json();
  return Json::Object{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added_tokens_of(directory / "added_tokens.json")},
      {"normalizer", cut == Cut::kQwen ? Json(Json::Object{{"type", "NFC"}}) : Json()},
      {"pre_tokenizer", pretokenizer_of(cut, prefix_space)},
      {"post_processor", std::move(post)},
      {"decoder", byte_level(true, true)},
      {"model",
       Json::Object{{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", merges_of(directory / "merges.txt")}}}};
}

}  // namespace hesse
