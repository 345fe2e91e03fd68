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

namespace hesse {

// Refuses, with an Error(kBadInput), ids that are negative, used twice, or leave more than a million ids unused.
class Vocabulary {
 public:
  Vocabulary(const Json& vocab, const std::string& where);
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;
  int32_t find(std::string_view token) const;  // -1: not there
  const std::string& token(int32_t id) const;  // empty when no token has this id
  int32_t entries() const { return static_cast<int32_t>(ids_.size()); }
  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }  // largest id + 1

 private:
  std::vector<std::string> tokens_;                    // by id
  std::unordered_map<std::string_view, int32_t> ids_;  // keys live in tokens_
};

// Immutable after construction; encode may be called by several threads at once.
class BpeModel {
 public:
  BpeModel(const Json& model, const std::string& where);
  BpeModel(const BpeModel&) = delete;
  BpeModel& operator=(const BpeModel&) = delete;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  // Appends the ids of one piece (valid UTF-8, not empty). O(n log n) in its length: some tokenizers give the whole
  // text as one piece.
  void encode(std::string_view piece, std::vector<int32_t>& ids) const;

 private:
  int32_t merged_id(std::string_view left, std::string_view right) const;
  void read_merges(const Json::Array& merges, const std::string& where);
  bool append_bytes(std::string_view symbol, std::vector<int32_t>& symbols) const;
  std::vector<int32_t> initial_symbols(std::string_view piece) const;

  Vocabulary vocabulary_;
  PairTable merges_;
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
