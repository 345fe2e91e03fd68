#include "tokenizer/word_cutter.h"

#include <algorithm>
#include <utility>

#include "tokenizer/unicode.h"

namespace hesse {

void WordCutter::add_token(std::string_view token) {
  size_t end = 0;
  if (token.empty()) return;
  const char32_t c = next_char(token, end);
  if (end != token.size()) return;
  if (c >= is_token_.size()) is_token_.resize(c + size_t{1}, false);
  is_token_[c] = true;
}

void WordCutter::add_merge(std::string_view left, std::string_view right) {
  if (left.empty() || right.empty()) return;
  size_t last = previous_offset(left, left.size());
  size_t first = 0;
  const char32_t a = next_char(left, last);
  const char32_t b = next_char(right, first);
  if (a < kAscii && b < kAscii) {
    ascii_[a].set(b);
  } else {
    merged_.emplace_back(a, b);
  }
}

void WordCutter::build() {
  for (char32_t a = 0; a < kAscii; ++a) {
    for (char32_t b = 0; b < kAscii; ++b) {
      if (a >= is_token_.size() || b >= is_token_.size() || !is_token_[a] || !is_token_[b]) ascii_[a].set(b);
    }
  }
  std::sort(merged_.begin(), merged_.end());
  merged_.erase(std::unique(merged_.begin(), merged_.end()), merged_.end());
  pairs_ = PairTable(merged_.size());
  for (const auto& [a, b] : merged_) pairs_.set(static_cast<int32_t>(a), static_cast<int32_t>(b), {});
  merged_ = {};
}

bool WordCutter::may_join(char32_t left, char32_t right) const {
  if (left < kAscii && right < kAscii) return ascii_[left][right];
  if (left >= is_token_.size() || right >= is_token_.size() || !is_token_[left] || !is_token_[right]) return true;
  return pairs_.find(static_cast<int32_t>(left), static_cast<int32_t>(right)) != nullptr;
}

size_t WordCutter::word_end(std::string_view text, size_t from) const {
  char32_t left = next_char(text, from);
  while (from < text.size()) {
    size_t next = from;
    const char32_t right = next_char(text, next);
    if (!may_join(left, right)) return from;
    left = right;
    from = next;
  }
  return text.size();
}

}  // namespace hesse
