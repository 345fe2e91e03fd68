// The model "BPE" of tokenizer.json: one piece of text to token ids.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/json.h"
#include "tokenizer/pair_table.h"
#include "tokenizer/word_cutter.h"

namespace hesse {

// Refuses, with an Error(kBadInput), ids that are negative, used twice, or leave more than a million ids unused.
class Vocabulary {
 public:
  Vocabulary(const Json& vocab, const std::string& where);
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;
  int32_t find(std::string_view token) const;  // -1: not there
  // find() of the one character `c`.
  int32_t find_character(char32_t c) const { return c < character_ids_.size() ? character_ids_[c] : -1; }
  const std::string& token(int32_t id) const;  // empty when no token has this id
  int32_t entries() const { return static_cast<int32_t>(ids_.size()); }
  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }  // largest id + 1

 private:
  std::vector<std::string> tokens_;                    // by id
  std::unordered_map<std::string_view, int32_t> ids_;  // keys live in tokens_
  std::vector<int32_t> character_ids_;                 // of the characters up to the largest that is a token
};

// Immutable after construction; encode may be called by several threads at once.
class BpeModel {
 public:
  BpeModel(const Json& model, const std::string& where);
  BpeModel(const BpeModel&) = delete;
  BpeModel& operator=(const BpeModel&) = delete;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  // Appends the ids of one piece (valid UTF-8, not empty). O(n log n) in its length.
  void encode(std::string_view piece, std::vector<int32_t>& ids) const;
  // The end of the word of `piece` that begins at `from`, 0 or an earlier result: the ids of a piece are those of its
  // words. Some tokenizers give the whole text as one piece, and words repeat.
  size_t word_end(std::string_view piece, size_t from) const;

 private:
  int32_t merged_id(std::string_view left, std::string_view right) const;
  void read_merges(const Json::Array& merges, const std::string& where);
  bool append_bytes(std::string_view symbol, std::vector<int32_t>& symbols) const;
  bool decorates() const { return !continuing_prefix_.empty() || !end_suffix_.empty(); }
  void initial_symbols(std::string_view piece, std::vector<int32_t>& symbols) const;

  Vocabulary vocabulary_;
  PairTable merges_;
  WordCutter cutter_;
  std::string where_;
  std::string unk_token_;
  std::string continuing_prefix_;
  std::string end_suffix_;
  std::array<int32_t, 256> byte_ids_{};  // of <0x00> to <0xFF>; -1 when absent
  bool fuse_unk_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
};

}  // namespace hesse
