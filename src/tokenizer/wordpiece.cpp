#include "tokenizer/wordpiece.h"

#include <utility>

#include "tokenizer/unicode.h"

namespace hesse {
namespace {

PieceTrie trie_of(const Vocabulary& vocabulary, std::string_view prefix) {
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view token = vocabulary.token(id);
    if (token.starts_with(prefix)) entries.emplace_back(token.substr(prefix.size()), id);
  }
  return PieceTrie(std::move(entries));
}

std::string text_or(const Json& model, const std::string& where, std::string_view key, const char* fallback) {
  return model.find_value(key) == nullptr ? fallback : Component{model, where}.string(key);
}

}  // namespace

WordPieceModel::WordPieceModel(const Json& model, const std::string& where)
    : vocabulary_(Component{model, where}.required("vocab"), where + ".vocab"),
      where_(where),
      unk_token_(text_or(model, where, "unk_token", "[UNK]")),
      prefix_(text_or(model, where, "continuing_subword_prefix", "##")),
      first_(trie_of(vocabulary_, "")),
      next_(trie_of(vocabulary_, prefix_)) {
  if (const Json* most = model.find_value("max_input_chars_per_word")) {
    max_chars_ = most->as_int(where + ".max_input_chars_per_word");
    if (max_chars_ < 0)
      Component{model, where}.refuse(fmt::format("max_input_chars_per_word is {}; it cannot be negative", max_chars_));
  }
}

bool WordPieceModel::is_too_long(std::string_view piece) const {
  int64_t chars = 0;
  for (size_t i = 0; i < piece.size() && chars <= max_chars_; ++chars) (void)next_char(piece, i);
  return chars > max_chars_;
}

int32_t WordPieceModel::unknown_id() const {
  const int32_t id = vocabulary_.find(unk_token_);
  if (id < 0) Component{Json(), where_}.refuse(fmt::format("the unk_token '{}' is not in the vocabulary", unk_token_));
  return id;
}

// A word with one part that is not known is unknown as a whole.
void WordPieceModel::trace(std::string_view piece, std::vector<ModelToken>& tokens) const {
  const size_t before = tokens.size();
  for (size_t begin = is_too_long(piece) ? piece.size() + 1 : 0; begin != piece.size();) {
    ModelToken longest;
    if (begin < piece.size()) {
      (begin == 0 ? first_ : next_).for_each_prefix(piece.substr(begin), [&](size_t length, int32_t id) {
        longest = {id, {begin, begin + length}};
      });
    }
    if (longest.id < 0) {
      tokens.resize(before);
      tokens.push_back({unknown_id(), {0, piece.size()}});
      return;
    }
    tokens.push_back(longest);
    begin = longest.span.end;
  }
}

void WordPieceModel::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  std::vector<ModelToken> tokens;
  trace(piece, tokens);
  for (const ModelToken& token : tokens) ids.push_back(token.id);
}

}  // namespace hesse
