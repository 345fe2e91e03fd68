// The tokens of a model and their ids.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/json.h"

namespace hesse {

// Refuses, with an Error(kBadInput), ids that are negative, used twice, or leave more than a million ids unused.
class Vocabulary {
 public:
  Vocabulary(const Json& vocab, const std::string& where);  // {"token": id}
  // The id is the place in the list. Of equal tokens the last one is found.
  explicit Vocabulary(std::vector<std::string> tokens);
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;
  int32_t find(std::string_view token) const;  // -1: not there
  // find() of the one character `c`.
  int32_t find_character(char32_t c) const { return c < character_ids_.size() ? character_ids_[c] : -1; }
  const std::string& token(int32_t id) const;  // empty when no token has this id
  int32_t entries() const { return entries_; }
  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }  // largest id + 1
  std::vector<int32_t> byte_ids() const;                                 // of <0x00> to <0xFF>; -1 when absent

 private:
  void learn(size_t id);

  std::vector<std::string> tokens_;                    // by id
  std::unordered_map<std::string_view, int32_t> ids_;  // keys live in tokens_
  std::vector<int32_t> character_ids_;                 // of the characters up to the largest that is a token
  int32_t entries_ = 0;
};

}  // namespace hesse
