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

BpeModel::BpeModel(const Json& model, const std::string& where)
    : vocabulary_(Component{model, where}.required("vocab"), where + ".vocab"),
      merges_(merges_of(model, where).size()),
      where_(where),
      byte_ids_(vocabulary_.byte_ids()) {
  const Component component{model, where};
  if (const Json* dropout = model.find_value("dropout");
      dropout != nullptr && dropout->as_double(where + ".dropout") != 0) {
    component.refuse("dropout makes the ids random; set it to null");
  }
  unk_token_ = component.optional_string("unk_token");
  continuing_prefix_ = component.optional_string("continuing_subword_prefix");
  end_suffix_ = component.optional_string("end_of_word_suffix");
  fuse_unk_ = component.boolean("fuse_unk", false);
  byte_fallback_ = component.boolean("byte_fallback", false);
  ignore_merges_ = component.boolean("ignore_merges", false);
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

bool BpeModel::append_bytes(std::string_view symbol, Symbols& symbols) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (!std::all_of(symbol.begin(), symbol.end(), [&](char c) { return id_of(c) >= 0; })) return false;
  for (const char c : symbol) symbols.add(id_of(c), 1);
  return true;
}

// One symbol a character. An unknown character waits until the next known one, as in the reference: with an incomplete
// set of byte tokens it comes behind the bytes of the characters between.
void BpeModel::initial_symbols(std::string_view piece, Symbols& symbols) const {
  size_t unknown_waits = 0;  // bytes
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
      if (unknown_waits > 0) symbols.add(unk_id, std::exchange(unknown_waits, 0));
      symbols.add(id, end - begin);
      continue;
    }
    if ((byte_fallback_ && append_bytes(symbol, symbols)) || unk_token_.empty()) continue;
    unk_id = vocabulary_.find(unk_token_);
    if (unk_id < 0)
      Component{Json(), where_}.refuse(fmt::format("the unk_token '{}' is not in the vocabulary", unk_token_));
    if (unknown_waits > 0 && !fuse_unk_) symbols.add(unk_id, std::exchange(unknown_waits, 0));
    unknown_waits += end - begin;
  }
  if (unknown_waits > 0) symbols.add(unk_id, unknown_waits);
}

void BpeModel::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (ignore_merges_) {
    if (const int32_t id = vocabulary_.find(piece); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  Symbols symbols;
  symbols.ids.reserve(piece.size());
  initial_symbols(piece, symbols);
  if (symbols.ids.size() <= kMaxShortSymbols && !decorates()) {
    apply_merges_to_word(symbols.ids, merges_, ids);
  } else {
    apply_merges(std::move(symbols.ids), merges_, ids);
  }
}

// Places are sums of lengths, as in the reference: where characters were dropped or moved they are too small.
void BpeModel::trace(std::string_view piece, std::vector<ModelToken>& tokens) const {
  if (const int32_t id = ignore_merges_ ? vocabulary_.find(piece) : -1; id >= 0) {
    tokens.push_back({id, {0, piece.size()}});
    return;
  }
  std::vector<size_t> lengths;
  Symbols symbols{{}, &lengths};
  initial_symbols(piece, symbols);
  std::vector<int32_t> ids;
  std::vector<size_t> firsts;
  apply_merges(std::move(symbols.ids), merges_, ids, &firsts);
  size_t begin = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    size_t end = begin;
    const size_t last = i + 1 < firsts.size() ? firsts[i + 1] : lengths.size();
    for (size_t symbol = firsts[i]; symbol < last; ++symbol) end += lengths[symbol];
    tokens.push_back({ids[i], {begin, end}});
    begin = end;
  }
}

// Prefix and suffix depend on where a character stands in its piece, ignore_merges on the whole of it.
size_t BpeModel::word_end(std::string_view piece, size_t from) const {
  return decorates() || ignore_merges_ ? piece.size() : cutter_.word_end(piece, from);
}

}  // namespace hesse
