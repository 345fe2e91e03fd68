// The "pre_tokenizer" of tokenizer.json: cuts text into the words that the model sees one by one.
#pragma once

#include <memory>
#include <string>

#include "io/json.h"
#include "tokenizer/pieces.h"

namespace hesse {

// Immutable; several threads may call it at once.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces) const = 0;
};

// nullptr when `json` is null: a text is one piece. Error(kBadInput) when a type is unknown or a field is wrong.
std::unique_ptr<PreTokenizer> read_pretokenizer(const Json& json, const std::string& where);

}  // namespace hesse
