#include "tokenizer/tokenizer_config.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "tokenizer/component.h"

namespace hesse {
namespace {

constexpr std::array<const char*, 7> kSpecialTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                       "pad_token", "cls_token", "mask_token"};

AddedToken read_special_token(const Json& json, const std::string& where) {
  if (json.is_object()) {
    AddedToken token = read_added_token(json, where);
    token.special = true;
    return token;
  }
  AddedToken token;
  token.content = json.as_string(where);
  token.special = true;
  return token;
}

int32_t id_from_key(const std::string& key, const std::string& where) {
  int32_t id = -1;
  const auto result = std::from_chars(key.data(), key.data() + key.size(), id);
  if (result.ec != std::errc() || result.ptr != key.data() + key.size() || id < 0) {
    throw Error(ErrorKind::kBadInput, fmt::format("[tokenizer] {}: the key '{}' is no token id", where, key));
  }
  return id;
}

void read_added_tokens_decoder(const Json& config, const std::string& where, std::vector<AddedToken>& tokens) {
  const Json* decoder = config.find_value("added_tokens_decoder");
  if (decoder == nullptr) return;
  const std::string place = where + ": added_tokens_decoder";
  for (const auto& [key, entry] : decoder->as_object(place)) {
    tokens.push_back(read_added_token(entry, place + "." + key));
    tokens.back().id = id_from_key(key, place);
  }
  std::stable_sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
}

}  // namespace

AddedToken read_added_token(const Json& json, const std::string& where) {
  const Component component{json, where};
  AddedToken token;
  token.content = component.string("content");
  token.single_word = component.boolean("single_word", false);
  token.lstrip = component.boolean("lstrip", false);
  token.rstrip = component.boolean("rstrip", false);
  token.special = component.boolean("special", false);
  token.normalized = component.boolean("normalized", !token.special);
  return token;
}

std::string special_token_content(const Json& config, std::string_view key) {
  const Json* value = config.find_value(key);
  if (value == nullptr) return {};
  const std::string where = "tokenizer_config.json: " + std::string(key);
  return value->is_object() ? Component{*value, where}.string("content") : value->as_string(where);
}

std::vector<AddedToken> configured_tokens(const Json& config, const std::string& where) {
  std::vector<AddedToken> tokens;
  read_added_tokens_decoder(config, where, tokens);
  for (const char* key : kSpecialTokens) {
    if (const Json* value = config.find_value(key)) tokens.push_back(read_special_token(*value, where + ": " + key));
  }
  // Later versions of transformers write an object of named tokens here.
  const Json* more = config.find_value("additional_special_tokens");
  if (more != nullptr && more->is_array()) {
    const std::string place = where + ": additional_special_tokens";
    for (const Json& value : more->as_array(place)) tokens.push_back(read_special_token(value, place));
  }
  return tokens;
}

Json with_prefix_space_rule(const Json& pre_tokenizer, const Json& config) {
  Json result = pre_tokenizer;
  const Json* type = pre_tokenizer.find("type");
  if (!config.is_object() || type == nullptr || !type->is_string() || type->as_string("type") != "ByteLevel")
    return result;
  result.set("add_prefix_space", Component{config, "tokenizer_config.json"}.boolean("add_prefix_space", false));
  return result;
}

}  // namespace hesse
