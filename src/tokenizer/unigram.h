// The model "Unigram" of tokenizer.json: the cut of a piece whose tokens have the largest sum of scores.
#pragma once

#include <vector>

#include "tokenizer/model.h"
#include "tokenizer/piece_trie.h"

namespace hesse {

class UnigramModel : public TokenModel {
 public:
  UnigramModel(const Json& model, const std::string& where);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  // Linear in the length of the piece, times the length of the longest token.
  void encode(std::string_view piece, std::vector<int32_t>& ids) const override;
  void trace(std::string_view piece, std::vector<ModelToken>& tokens) const override;

 private:
  // The ends of the tokens of `piece`, last first; `is_unknown` of each.
  struct Cut {
    size_t begin = 0;
    size_t end = 0;
    bool unknown = false;
  };
  std::vector<Cut> best_cuts(std::string_view piece) const;
  void append(std::string_view piece, const Cut& cut, std::vector<ModelToken>& tokens) const;
  int32_t unknown_id(std::string_view text) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  PieceTrie trie_;
  std::vector<int32_t> byte_ids_;
  std::string where_;
  int32_t unk_id_ = -1;
  double unk_score_ = 0;
  bool byte_fallback_ = false;
};

}  // namespace hesse
