// The "post_processor" of tokenizer.json: which ids stand before and after those of the text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/json.h"
#include "tokenizer/text.h"

namespace hesse {

// A token and the characters of the input that it stands for; what is not of the input has none, {0, 0}.
struct PlacedToken {
  int32_t id = -1;
  Span chars;
};

// The content of a token.
using TokenContent = std::function<std::string(int32_t)>;

// Immutable; several threads may call it at once.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  virtual std::vector<int32_t> apply(std::vector<int32_t> ids) const = 0;
  virtual std::vector<PlacedToken> apply(std::vector<PlacedToken> tokens) const = 0;
  // What it does to the places even when no special tokens are wanted: white space may be left out of them.
  virtual void trim(std::vector<PlacedToken>& tokens, const TokenContent& content) const {
    (void)tokens;
    (void)content;
  }
};

// Whether the tokenizer has a token with this id.
using IdCheck = std::function<bool(int64_t)>;

// nullptr when `json` is null: nothing is added. Error(kBadInput) when a type is unknown, a field is wrong, or it
// inserts an id that no token has.
std::unique_ptr<PostProcessor> read_postprocessor(const Json& json, const std::string& where, const IdCheck& known);

}  // namespace hesse
