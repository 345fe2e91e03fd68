#include "tokenizer/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "hesse/error.h"
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
    learn(value);
  }
  entries_ = static_cast<int32_t>(entries.size());
}

Vocabulary::Vocabulary(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {
  ids_.reserve(tokens_.size());
  for (size_t id = 0; id < tokens_.size(); ++id) learn(id);
  entries_ = size();
}

void Vocabulary::learn(size_t id) {
  const std::string& token = tokens_[id];
  ids_[token] = static_cast<int32_t>(id);
  if (const char32_t c = only_character(token); c != kNoCharacter) {
    if (c >= character_ids_.size()) character_ids_.resize(c + size_t{1}, -1);
    character_ids_[c] = static_cast<int32_t>(id);
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

std::vector<int32_t> Vocabulary::byte_ids() const {
  std::vector<int32_t> ids;
  for (int byte = 0; byte < 256; ++byte) ids.push_back(find(fmt::format("<0x{:02X}>", byte)));
  return ids;
}

}  // namespace hesse
