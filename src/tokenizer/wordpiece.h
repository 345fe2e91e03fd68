// The model "WordPiece" of tokenizer.json: the longest token that a word begins with, then the longest that goes on.
#pragma once

#include "tokenizer/model.h"
#include "tokenizer/piece_trie.h"

namespace hesse {

class WordPieceModel : public TokenModel {
 public:
  WordPieceModel(const Json& model, const std::string& where);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  void encode(std::string_view piece, std::vector<int32_t>& ids) const override;
  void trace(std::string_view piece, std::vector<ModelToken>& tokens) const override;

 private:
  bool is_too_long(std::string_view piece) const;
  int32_t unknown_id() const;

  Vocabulary vocabulary_;
  std::string where_;
  std::string unk_token_;
  std::string prefix_;
  int64_t max_chars_ = 100;
  PieceTrie first_;  // tokens that a word begins with
  PieceTrie next_;   // without the prefix of those that go on
};

}  // namespace hesse
