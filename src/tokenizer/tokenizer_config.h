// What tokenizer_config.json says beyond tokenizer.json: more added tokens, BOS and EOS, the prefix space.
#pragma once

#include <string>
#include <vector>

#include "io/json.h"
#include "tokenizer/added_tokens.h"

namespace hesse {

// An entry of added_tokens, or a token object of tokenizer_config.json; the id stays -1.
AddedToken read_added_token(const Json& json, const std::string& where);

// The contents of the tokens "bos_token" and "eos_token": null, a string, or an object. Empty: there is none.
std::string special_token_content(const Json& config, std::string_view key);

// added_tokens_decoder in the order of its ids, with them; then the special tokens by name, with id -1 and, when they
// are only a string, `special` set. A null `config` has none.
std::vector<AddedToken> configured_tokens(const Json& config, const std::string& where);

// `pre_tokenizer` as transformers runs it: a ByteLevel at the top takes add_prefix_space from the config (false when
// missing). With a null `config` it stays.
Json with_prefix_space_rule(const Json& pre_tokenizer, const Json& config);

}  // namespace hesse
