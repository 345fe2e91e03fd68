// Tokens that are cut out of the text before anything else is done with it, and keep their id whatever surrounds them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/normalizer.h"

namespace hesse {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space on its left along
  bool rstrip = false;
  bool normalized = false;  // looked for in normalized text, with its content normalized too
  bool special = false;     // left out by decode on request; no matter for encode

  bool same_flags(const AddedToken& other) const;
};

// Leftmost and longest search for a set of strings.
class TokenTrie {
 public:
  TokenTrie();
  void insert(std::string_view text, int32_t value);  // a later insert of the same text wins
  bool empty() const { return nodes_.size() == 1; }
  struct Match {
    size_t begin = 0;
    size_t end = 0;
    int32_t value = -1;  // -1: nothing found
  };
  Match find(std::string_view text, size_t from) const;

 private:
  struct Node {
    std::vector<std::pair<unsigned char, int32_t>> next;
    int32_t value = -1;
  };
  int32_t child(int32_t node, unsigned char byte) const;
  std::vector<Node> nodes_;
  std::vector<int32_t> roots_;  // of the 256 first bytes; -1 for most
};

// A stretch of text and the added token it is, or -1.
struct Segment {
  size_t begin = 0;
  size_t end = 0;
  int32_t id = -1;
};

class AddedTokens {
 public:
  // Adds a token with its final id, or replaces the one with the same content.
  void set(AddedToken token);
  // To be called once, after the last set().
  void build(const Normalizer* normalizer);

  const AddedToken* by_content(std::string_view content) const;
  const AddedToken* by_id(int32_t id) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

  // Cuts `text` at the tokens that are looked for before (`normalized` false) or after normalization. Segments come
  // from left to right; without an id they are never empty.
  std::vector<Segment> split(std::string_view text, bool normalized) const;

 private:
  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, size_t> index_of_content_;
  std::unordered_map<int32_t, size_t> index_of_id_;
  TokenTrie raw_;
  TokenTrie normalized_;
};

}  // namespace hesse
