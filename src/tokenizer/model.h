// The "model" of tokenizer.json: one piece of text to token ids. What kinds there are: the table in model.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/component.h"
#include "tokenizer/text.h"
#include "tokenizer/vocabulary.h"

namespace hesse {

// A token and the bytes of its piece that it stands for.
struct ModelToken {
  int32_t id = -1;
  Span span;
};

// Immutable after construction; several threads may call it at once.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual const Vocabulary& vocabulary() const = 0;
  // Appends the ids of one piece (valid UTF-8, not empty). Error(kBadInput) for what the model cannot say: a text it
  // does not know, when it has no token for that.
  virtual void encode(std::string_view piece, std::vector<int32_t>& ids) const = 0;
  // The same ids with their places; slower.
  virtual void trace(std::string_view piece, std::vector<ModelToken>& tokens) const = 0;
  // The end of the word of `piece` that begins at `from`, 0 or an earlier result: the ids of a piece are those of its
  // words. Some tokenizers give the whole text as one piece, and words repeat.
  virtual size_t word_end(std::string_view piece, size_t from) const {
    (void)from;
    return piece.size();
  }
};

// Error(kBadInput) when the type is not known, the model is damaged, or it has no tokens.
std::unique_ptr<TokenModel> read_model(const Component& component);

}  // namespace hesse
