// The compiled character map of sentencepiece: a double array of byte strings, and what each of them becomes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/text.h"

namespace hesse {

// Bytes of standard base64; Error(kBadInput) when `text` is none.
std::string decode_base64(std::string_view text, const std::string& where);
std::string encode_base64(std::string_view bytes);

class CharacterMap {
 public:
  // `bytes`: the size of the double array in bytes, the array, then texts that end with a 0 each. Empty: no map.
  // Error(kBadInput) when the sizes cannot be.
  CharacterMap(std::string_view bytes, const std::string& where);

  // As tokenizer.json means it: a grapheme cluster of less than 6 bytes, else each character of it, becomes what the
  // shortest entry that it begins with says.
  Text apply(const Text& text) const;
  // As sentencepiece itself does it: at each place the longest entry that the text goes on with.
  Text apply_longest(const Text& text) const;

 private:
  struct Entry {
    size_t bytes = 0;  // of the key
    std::string_view becomes;
  };
  enum class Which { kShortest, kLongest };
  std::optional<Entry> find(std::string_view text, Which which) const;
  std::optional<std::string_view> shortest(std::string_view text) const;
  std::string_view text_at(size_t offset) const;

  std::vector<uint32_t> units_;
  std::string texts_;
};

}  // namespace hesse
