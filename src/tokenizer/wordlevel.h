// The model "WordLevel" of tokenizer.json: a piece is a token or unknown.
#pragma once

#include "tokenizer/model.h"

namespace hesse {

class WordLevelModel : public TokenModel {
 public:
  WordLevelModel(const Json& model, const std::string& where);

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  void encode(std::string_view piece, std::vector<int32_t>& ids) const override;
  void trace(std::string_view piece, std::vector<ModelToken>& tokens) const override;

 private:
  Vocabulary vocabulary_;
  std::string where_;
  std::string unk_token_;
};

}  // namespace hesse
