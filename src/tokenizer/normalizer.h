// The "normalizer" of tokenizer.json: text to text, before anything is cut.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "io/json.h"
#include "tokenizer/text.h"

namespace hesse {

// Immutable; several threads may call it at once.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual Text apply(Text text) const = 0;
  std::string apply_to(std::string text) const { return apply(Text(std::move(text), false)).bytes; }
};

// nullptr when `json` is null: text stays as it is. Error(kBadInput) when a type is unknown or a field is wrong.
std::unique_ptr<Normalizer> read_normalizer(const Json& json, const std::string& where);

}  // namespace hesse
