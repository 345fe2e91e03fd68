// The model "BPE" of tokenizer.json: one piece of text to token ids.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokenizer/model.h"
#include "tokenizer/pair_table.h"
#include "tokenizer/word_cutter.h"

namespace hesse {

class BpeModel : public TokenModel {
 public:
  BpeModel(const Json& model, const std::string& where);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  // O(n log n) in the length of the piece.
  void encode(std::string_view piece, std::vector<int32_t>& ids) const override;
  void trace(std::string_view piece, std::vector<ModelToken>& tokens) const override;
  size_t word_end(std::string_view piece, size_t from) const override;

 private:
  // What a piece is before any merge.
  struct Symbols {
    std::vector<int32_t> ids;
    std::vector<size_t>* lengths = nullptr;  // when somebody asks, the bytes that each counts for
    void add(int32_t id, size_t length) {
      ids.push_back(id);
      if (lengths != nullptr) lengths->push_back(length);
    }
  };
  int32_t merged_id(std::string_view left, std::string_view right) const;
  void read_merges(const Json::Array& merges, const std::string& where);
  bool append_bytes(std::string_view symbol, Symbols& symbols) const;
  bool decorates() const { return !continuing_prefix_.empty() || !end_suffix_.empty(); }
  void initial_symbols(std::string_view piece, Symbols& symbols) const;

  Vocabulary vocabulary_;
  PairTable merges_;
  WordCutter cutter_;
  std::string where_;
  std::string unk_token_;
  std::string continuing_prefix_;
  std::string end_suffix_;
  std::vector<int32_t> byte_ids_;  // of <0x00> to <0xFF>; -1 when absent
  bool fuse_unk_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
};

}  // namespace hesse
