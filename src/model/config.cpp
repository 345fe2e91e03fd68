#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

// Reads members of one config.json and says where it stands in every complaint.
class Fields {
 public:
  Fields(const Json& json, const std::string& where) : json_(json), where_(where) {}

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(ErrorKind::kBadInput, fmt::format("[config] {}: {}", where_, why));
  }
  int64_t size(std::string_view key, int64_t missing = 0) const {
    const Json* value = json_.find_value(key);
    if (value == nullptr) {
      if (missing > 0) return missing;
      refuse(fmt::format("'{}' is missing; is this the config.json of a language model?", key));
    }
    const int64_t number = value->as_int(path(key));
    if (number < 1 || number > std::numeric_limits<int32_t>::max()) {
      refuse(fmt::format("'{}' is {}; expected 1 to 2147483647", key, number));
    }
    return number;
  }
  double positive(const Json& object, std::string_view key, double missing) const {
    const Json* value = object.find_value(key);
    const double number = (value == nullptr) ? missing : value->as_double(path(key));
    if (!(number > 0) || number > 1e30) refuse(fmt::format("'{}' is {}; expected a positive number", key, number));
    return number;
  }
  bool flag(std::string_view key, bool missing) const {
    const Json* value = json_.find_value(key);
    return value == nullptr ? missing : value->as_bool(path(key));
  }
  bool bias(const BiasRule& rule) const { return !rule.key.empty() && flag(rule.key, rule.missing); }
  std::string text(const Json& object, std::string_view key, std::string_view missing) const {
    const Json* value = object.find_value(key);
    return value == nullptr ? std::string(missing) : value->as_string(path(key));
  }
  const Json& json() const { return json_; }
  std::string path(std::string_view key) const { return fmt::format("{}, '{}'", where_, key); }

 private:
  const Json& json_;
  const std::string& where_;
};

const Family& family_of(const Fields& fields) {
  const std::string type = fields.text(fields.json(), "model_type", "");
  const Family* family = find_family(type);
  if (family != nullptr) return *family;
  std::string known;
  for (const Family& row : families()) {
    for (const std::string_view name : row.model_types) known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  if (type.empty()) fields.refuse(fmt::format("'model_type' is missing; known architectures: {}", known));
  fields.refuse(fmt::format("architecture '{}' is not supported; known architectures: {}", type, known));
}

RopeConfig parse_rope(const Fields& fields, const Family& family) {
  static const Json kNone = Json::object();
  const Json* rope = fields.json().find_value("rope_scaling");
  if (rope == nullptr) rope = fields.json().find_value("rope_parameters");
  if (rope == nullptr) rope = &kNone;
  if (!rope->is_object()) fields.refuse("the RoPE parameters are not an object");
  RopeConfig result;
  result.theta = fields.positive(*rope, "rope_theta", fields.positive(fields.json(), "rope_theta", family.rope_theta));
  const std::string type = fields.text(*rope, "rope_type", fields.text(*rope, "type", "default"));
  const auto required = [&](std::string_view key) {
    if (rope->find_value(key) == nullptr) fields.refuse(fmt::format("RoPE type '{}' needs '{}'", type, key));
    return fields.positive(*rope, key, 1);
  };
  const double partial =
      fields.positive(*rope, "partial_rotary_factor", fields.positive(fields.json(), "partial_rotary_factor", 1));
  if (partial != 1) fields.refuse(fmt::format("'partial_rotary_factor' is {}; only 1 is supported", partial));
  if (type == "default") return result;
  if (type == "linear") {
    result.kind = RopeKind::kLinear;
    result.factor = required("factor");
  } else if (type == "llama3") {
    result.kind = RopeKind::kLlama3;
    result.factor = required("factor");
    result.low_freq_factor = required("low_freq_factor");
    result.high_freq_factor = required("high_freq_factor");
    result.original_positions = required("original_max_position_embeddings");
    if (result.high_freq_factor <= result.low_freq_factor) {
      fields.refuse(fmt::format("RoPE 'high_freq_factor' {} is not above 'low_freq_factor' {}", result.high_freq_factor,
                                result.low_freq_factor));
    }
  } else {
    fields.refuse(fmt::format("RoPE type '{}' is not supported; known: default, linear, llama3", type));
  }
  return result;
}

}  // namespace

Json read_config_json(const std::filesystem::path& directory) {
  if (!std::filesystem::is_directory(directory)) {
    throw Error(ErrorKind::kBadInput, fmt::format("[model] {}: no such directory", directory.string()));
  }
  const std::filesystem::path path = directory / "config.json";
  if (!std::filesystem::exists(path)) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[model] {}: no config.json; is this a Hugging Face model directory?", directory.string()));
  }
  return Json::parse(read_text_file(path), "config.json");
}

ModelConfig parse_model_config(const Json& config, const std::string& where) {
  const Fields fields(config, where);
  if (!config.is_object()) fields.refuse("not a JSON object");
  const Family& family = family_of(fields);
  ModelConfig result;
  result.family = &family;
  result.hidden = fields.size("hidden_size");
  result.intermediate = fields.size("intermediate_size");
  result.layers = fields.size("num_hidden_layers");
  result.heads = fields.size("num_attention_heads");
  result.kv_heads = fields.size("num_key_value_heads", result.heads);
  result.head_dim = fields.size("head_dim", std::max<int64_t>(1, result.hidden / result.heads));
  result.vocab = fields.size("vocab_size");
  result.max_positions = fields.size("max_position_embeddings", 2048);
  result.norm_eps = static_cast<float>(fields.positive(config, "rms_norm_eps", family.norm_eps));
  result.qkv_bias = fields.bias(family.qkv_bias);
  result.o_bias = fields.bias(family.o_bias);
  result.mlp_bias = fields.bias(family.mlp_bias);
  result.tied_head = fields.flag("tie_word_embeddings", family.tied_head);
  result.rope = parse_rope(fields, family);
  if (result.heads % result.kv_heads != 0) {
    fields.refuse(fmt::format("{} query heads cannot share {} key/value heads evenly", result.heads, result.kv_heads));
  }
  if (result.head_dim % 2 != 0)
    fields.refuse(fmt::format("'head_dim' is {}; RoPE needs an even number", result.head_dim));
  const std::string activation = fields.text(config, "hidden_act", "silu");
  const auto& known = family.activations;
  if (std::find(known.begin(), known.end(), activation) == known.end()) {
    fields.refuse(fmt::format("activation '{}' is not supported for '{}'; known: {}", activation, family.name,
                              fmt::join(known, ", ")));
  }
  return result;
}

std::string describe(const RopeConfig& rope) {
  switch (rope.kind) {
    case RopeKind::kDefault:
      return fmt::format("default, theta {}", rope.theta);
    case RopeKind::kLinear:
      return fmt::format("linear, factor {}, theta {}", rope.factor, rope.theta);
    case RopeKind::kLlama3:
      return fmt::format("llama3, factor {}, theta {}", rope.factor, rope.theta);
  }
  return "";
}

}  // namespace hesse
