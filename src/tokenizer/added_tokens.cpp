#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "tokenizer/unicode.h"

namespace hesse {
namespace {

bool word_before(std::string_view text, size_t offset) {
  if (offset == 0) return false;
  size_t at = previous_offset(text, offset);
  return is_word(next_char(text, at));
}

bool word_after(std::string_view text, size_t offset) {
  return offset < text.size() && is_word(next_char(text, offset));
}

size_t skip_space_left(std::string_view text, size_t offset) {
  while (offset > 0) {
    const size_t begin = previous_offset(text, offset);
    size_t at = begin;
    if (!is_whitespace(next_char(text, at))) break;
    offset = begin;
  }
  return offset;
}

size_t skip_space_right(std::string_view text, size_t offset) {
  while (offset < text.size()) {
    size_t next = offset;
    if (!is_whitespace(next_char(text, next))) break;
    offset = next;
  }
  return offset;
}

}  // namespace

bool AddedToken::same_flags(const AddedToken& other) const {
  return single_word == other.single_word && lstrip == other.lstrip && rstrip == other.rstrip &&
         normalized == other.normalized && special == other.special;
}

TokenTrie::TokenTrie() : nodes_(1), roots_(256, -1) {}

int32_t TokenTrie::child(int32_t node, unsigned char byte) const {
  if (node == 0) return roots_[byte];
  for (const auto& [key, next] : nodes_[static_cast<size_t>(node)].next) {
    if (key == byte) return next;
  }
  return -1;
}

void TokenTrie::insert(std::string_view text, int32_t value) {
  if (text.empty()) return;
  int32_t node = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    int32_t next = child(node, byte);
    if (next < 0) {
      next = static_cast<int32_t>(nodes_.size());
      nodes_.emplace_back();
      if (node == 0) {
        roots_[byte] = next;
      } else {
        nodes_[static_cast<size_t>(node)].next.emplace_back(byte, next);
      }
    }
    node = next;
  }
  nodes_[static_cast<size_t>(node)].value = value;
}

TokenTrie::Match TokenTrie::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    int32_t node = roots_[static_cast<unsigned char>(text[begin])];
    Match match;
    for (size_t at = begin + 1; node >= 0; ++at) {
      const int32_t value = nodes_[static_cast<size_t>(node)].value;
      if (value >= 0) match = {begin, at, value};
      if (at >= text.size()) break;
      node = child(node, static_cast<unsigned char>(text[at]));
    }
    if (match.value >= 0) return match;
  }
  return {};
}

void AddedTokens::set(AddedToken token) {
  const auto [place, is_new] = index_of_content_.try_emplace(token.content, tokens_.size());
  if (is_new) {
    index_of_id_[token.id] = tokens_.size();
    tokens_.push_back(std::move(token));
  } else {
    tokens_[place->second] = std::move(token);
  }
}

void AddedTokens::build(const Normalizer* normalizer) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    const auto value = static_cast<int32_t>(i);
    if (!token.normalized) {
      raw_.insert(token.content, value);
    } else {
      normalized_.insert(normalizer == nullptr ? token.content : normalizer->apply_to(token.content), value);
    }
  }
}

const AddedToken* AddedTokens::by_content(std::string_view content) const {
  const auto found = index_of_content_.find(std::string(content));
  return found == index_of_content_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::by_id(int32_t id) const {
  const auto found = index_of_id_.find(id);
  return found == index_of_id_.end() ? nullptr : &tokens_[found->second];
}

std::vector<Segment> AddedTokens::split(std::string_view text, bool normalized) const {
  const TokenTrie& trie = normalized ? normalized_ : raw_;
  std::vector<Segment> segments;
  size_t done = 0;
  size_t from = 0;
  while (!trie.empty()) {
    const TokenTrie::Match match = trie.find(text, from);
    if (match.value < 0) break;
    const AddedToken& token = tokens_[static_cast<size_t>(match.value)];
    from = match.end;
    if (token.single_word && (word_before(text, match.begin) || word_after(text, match.end))) continue;
    // White space that the token before has taken is not taken twice.
    const size_t begin = token.lstrip ? std::max(skip_space_left(text, match.begin), done) : match.begin;
    const size_t end = token.rstrip ? skip_space_right(text, match.end) : match.end;
    if (done < begin) segments.push_back({done, begin, -1});
    segments.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) segments.push_back({done, text.size(), -1});
  return segments;
}

}  // namespace hesse
