// Where a BPE model can be run on each side by itself: some tokenizers give the whole text as one piece, and words
// repeat only when they are looked at one by one.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/pair_table.h"

namespace hesse {

// A merge joins the last character of its left token to the first of its right one. Between two characters that are
// tokens by themselves, and that no merge joins, nothing is ever joined: neither of them waits as an unknown one, and
// what happens on one side cannot be seen from the other.
class WordCutter {
 public:
  WordCutter() : pairs_(0) {}
  void add_token(std::string_view token);
  void add_merge(std::string_view left, std::string_view right);
  // To be called once, after the last add_merge().
  void build();

  // The end of the word that begins at `from`: the first place behind it where nothing is joined, or the end. `text` is
  // valid UTF-8, `from` is below its size.
  size_t word_end(std::string_view text, size_t from) const;

 private:
  static constexpr size_t kAscii = 0x80;
  bool may_join(char32_t left, char32_t right) const;

  std::vector<bool> is_token_;                         // of the characters up to the largest that is a token
  std::array<std::bitset<kAscii>, kAscii> ascii_{};    // [left][right]: may be joined
  std::vector<std::pair<char32_t, char32_t>> merged_;  // the others, until build()
  PairTable pairs_;                                    // the same
};

}  // namespace hesse
