// The "decoder" of tokenizer.json: from the strings of tokens back to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/json.h"

namespace hesse {

// Immutable; several threads may call it at once.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // The text is what is left, joined.
  virtual std::vector<std::string> apply(std::vector<std::string> tokens) const = 0;
};

// nullptr when `json` is null: tokens are joined with a space. Error(kBadInput) when a type is unknown or a field is
// wrong.
std::unique_ptr<Decoder> read_decoder(const Json& json, const std::string& where);

}  // namespace hesse
