// The "normalizer" of tokenizer.json: text to text, before anything is cut.
#pragma once

#include <memory>
#include <string>

#include "io/json.h"

namespace hesse {

// Immutable; several threads may call it at once.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual std::string apply(std::string text) const = 0;
};

// nullptr when `json` is null: text stays as it is. Error(kBadInput) when a type is unknown or a field is wrong.
std::unique_ptr<Normalizer> read_normalizer(const Json& json, const std::string& where);

}  // namespace hesse
