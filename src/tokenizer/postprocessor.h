// The "post_processor" of tokenizer.json: which ids stand before and after those of the text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/json.h"

namespace hesse {

// Immutable; several threads may call it at once.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  virtual std::vector<int32_t> apply(std::vector<int32_t> ids) const = 0;
};

// Whether the tokenizer has a token with this id.
using IdCheck = std::function<bool(int64_t)>;

// nullptr when `json` is null: nothing is added. Error(kBadInput) when a type is unknown, a field is wrong, or it
// inserts an id that no token has.
std::unique_ptr<PostProcessor> read_postprocessor(const Json& json, const std::string& where, const IdCheck& known);

}  // namespace hesse
