#include "tokenizer/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "hesse/error.h"
#include "tokenizer/bpe_merge.h"
#include "tokenizer/component.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

constexpr int64_t kMaxUnusedIds = int64_t{1} << 20;
constexpr char32_t kNoCharacter = 0xFFFFFFFF;

// The one character of `token`, or kNoCharacter.
char32_t only_character(std::string_view token) {
  size_t end = 0;
  if (token.empty()) return kNoCharacter;
  const char32_t c = next_char(token, end);
  return end == token.size() ? c : kNoCharacter;
}

const Json::Array& merges_of(const Json& model, const std::string& where) {
  return Component{model, where}.array("merges");
}

// "a b" or ["a", "b"].
std::pair<std::string_view, std::string_view> parts_of(const Json& merge, const std::string& where) {
  if (merge.is_array()) {
    const Json::Array& pair = merge.as_array(where);
    if (pair.size() != 2)
      Component{merge, where}.refuse(fmt::format("a merge has 2 parts, this one has {}", pair.size()));
    return {pair[0].as_string(where), pair[1].as_string(where)};
  }
  const std::string_view text = merge.as_string(where);
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    Component{merge, where}.refuse(fmt::format("the merge '{}' is not two parts with one space between", text));
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

}  // namespace

Vocabulary::Vocabulary(const Json& vocab, const std::string& where) {
  const Json::Object& entries = vocab.as_object(where);
  const int64_t limit = static_cast<int64_t>(entries.size()) + kMaxUnusedIds;
  int64_t size = 0;
  for (const auto& [token, id] : entries) {
    const int64_t value = id.as_int(where);
    if (value < 0 || value >= limit) {
      throw Error(ErrorKind::kBadInput,
                  fmt::format("[tokenizer] {}: token '{}' has id {}, with {} tokens it must be from 0 to {}", where,
                              token, value, entries.size(), limit - 1));
    }
    size = std::max(size, value + 1);
  }
  tokens_.resize(static_cast<size_t>(size));
  ids_.reserve(entries.size());
  std::vector<bool> used(tokens_.size(), false);
  for (const auto& [token, id] : entries) {
    const auto value = static_cast<size_t>(id.as_int(where));
    if (used[value]) {
      throw Error(ErrorKind::kBadInput, fmt::format("[tokenizer] {}: the tokens '{}' and '{}' both have id {}", where,
                                                    tokens_[value], token, value));
    }
    used[value] = true;
    tokens_[value] = token;
    ids_.emplace(tokens_[value], static_cast<int32_t>(value));
    if (const char32_t c = only_character(token); c != kNoCharacter) {
      if (c >= character_ids_.size()) character_ids_.resize(c + size_t{1}, -1);
      character_ids_[c] = static_cast<int32_t>(value);
    }
  }
}

int32_t Vocabulary::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? -1 : found->second;
}

const std::string& Vocabulary::token(int32_t id) const {
  static const std::string kEmpty;
  return id >= 0 && id < size() ? tokens_[static_cast<size_t>(id)] : kEmpty;
}

BpeModel::BpeModel(const Json& model, const std::string& where)
    : vocabulary_(Component{model, where}.required("vocab"), where + ".vocab"),
      merges_(merges_of(model, where).size()),
      where_(where) {
  const Component component{model, where};
  if (const Json* dropout = model.find_value("dropout");
      dropout != nullptr && dropout->as_double(where + ".dropout") != 0) {
    component.refuse("dropout makes the ids random; set it to null");
  }
  if (vocabulary_.entries() == 0) component.refuse("the vocabulary is empty");
  unk_token_ = component.optional_string("unk_token");
  continuing_prefix_ = component.optional_string("continuing_subword_prefix");
  end_suffix_ = component.optional_string("end_of_word_suffix");
  fuse_unk_ = component.boolean("fuse_unk", false);
  byte_fallback_ = component.boolean("byte_fallback", false);
  ignore_merges_ = component.boolean("ignore_merges", false);
  for (size_t byte = 0; byte < 256; ++byte) byte_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte));
  read_merges(merges_of(model, where), where + ".merges");
  for (int32_t id = 0; id < vocabulary_.size(); ++id) cutter_.add_token(vocabulary_.token(id));
  cutter_.build();
}

int32_t BpeModel::merged_id(std::string_view left, std::string_view right) const {
  if (right.size() < continuing_prefix_.size()) return -1;
  return vocabulary_.find(std::string(left).append(right.substr(continuing_prefix_.size())));
}

void BpeModel::read_merges(const Json::Array& merges, const std::string& where) {
  uint32_t rank = 0;
  for (const Json& merge : merges) {
    if (merge.is_string() && merge.as_string(where).starts_with("#version")) continue;
    const auto [left, right] = parts_of(merge, where);
    const int32_t left_id = vocabulary_.find(left);
    const int32_t right_id = vocabulary_.find(right);
    const int32_t id = merged_id(left, right);
    if (left_id < 0 || right_id < 0 || id < 0) {
      const std::string_view missing = left_id < 0 ? left : right_id < 0 ? right : "their union";
      Component{merge, where}.refuse(
          fmt::format("merge {} of '{}' and '{}': {} is not in the vocabulary", rank, left, right,
                      left_id < 0 || right_id < 0 ? fmt::format("'{}'", missing) : std::string(missing)));
    }
    merges_.set(left_id, right_id, {rank++, id});
    cutter_.add_merge(left, right);
  }
}

bool BpeModel::append_bytes(std::string_view symbol, std::vector<int32_t>& symbols) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (!std::all_of(symbol.begin(), symbol.end(), [&](char c) { return id_of(c) >= 0; })) return false;
  for (const char c : symbol) symbols.push_back(id_of(c));
  return true;
}

// One symbol a character. An unknown character waits until the next known one, as in the reference: with an incomplete
// set of byte tokens it comes behind the bytes of the characters between.
void BpeModel::initial_symbols(std::string_view piece, std::vector<int32_t>& symbols) const {
  bool unknown_waits = false;
  int32_t unk_id = -1;
  std::string decorated;
  for (size_t end = 0; end < piece.size();) {
    const size_t begin = end;
    const char32_t c = next_char(piece, end);
    std::string_view symbol = piece.substr(begin, end - begin);
    const bool inside = begin > 0, last = end == piece.size();
    const bool plain = !decorates() || !((inside && !continuing_prefix_.empty()) || (last && !end_suffix_.empty()));
    if (!plain) {
      decorated.assign(inside ? continuing_prefix_ : "").append(symbol).append(last ? end_suffix_ : "");
      symbol = decorated;
    }
    if (const int32_t id = plain ? vocabulary_.find_character(c) : vocabulary_.find(symbol); id >= 0) {
      if (std::exchange(unknown_waits, false)) symbols.push_back(unk_id);
      symbols.push_back(id);
      continue;
    }
    if ((byte_fallback_ && append_bytes(symbol, symbols)) || unk_token_.empty()) continue;
    unk_id = vocabulary_.find(unk_token_);
    if (unk_id < 0)
      Component{Json(), where_}.refuse(fmt::format("the unk_token '{}' is not in the vocabulary", unk_token_));
    if (unknown_waits && !fuse_unk_) symbols.push_back(unk_id);
    unknown_waits = true;
  }
  if (unknown_waits) symbols.push_back(unk_id);
}

void BpeModel::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (ignore_merges_) {
    if (const int32_t id = vocabulary_.find(piece); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  std::vector<int32_t> symbols;
  symbols.reserve(piece.size());
  initial_symbols(piece, symbols);
  if (symbols.size() <= kMaxShortSymbols && !decorates()) {
    apply_merges_to_word(symbols, merges_, ids);
  } else {
    apply_merges(std::move(symbols), merges_, ids);
  }
}

// Prefix and suffix depend on where a character stands in its piece, ignore_merges on the whole of it.
size_t BpeModel::word_end(std::string_view piece, size_t from) const {
  return decorates() || ignore_merges_ ? piece.size() : cutter_.word_end(piece, from);
}

}  // namespace hesse
