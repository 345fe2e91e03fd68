#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

const Json kNothing = Json::object();
constexpr int64_t kMaxLayers = 65536;  // far above any model; what is listed by layer must fit into memory
constexpr std::string_view kFull = "full_attention", kSliding = "sliding_attention";  // values of 'layer_types'

// Reads members of one config.json and says where it stands in every complaint.
class Fields {
 public:
  Fields(const Json& json, const std::string& where) : json_(json), where_(where) {}

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(ErrorKind::kBadInput, fmt::format("[config] {}: {}", where_, why));
  }
  int64_t size(std::string_view key, int64_t missing = 0, int64_t limit = std::numeric_limits<int32_t>::max()) const {
    const Json* value = json_.find_value(key);
    if (value == nullptr) {
      if (missing > 0) return missing;
      refuse(fmt::format("'{}' is missing; is this the config.json of a language model?", key));
    }
    const int64_t number = value->as_int(path(key));
    if (number < 1 || number > limit) refuse(fmt::format("'{}' is {}; expected 1 to {}", key, number, limit));
    return number;
  }
  // Like size, but 0 is a number too.
  int64_t count(std::string_view key, int64_t missing) const {
    const Json* value = json_.find_value(key);
    return value != nullptr && value->as_int(path(key)) == 0 ? 0 : size(key, missing);
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

const Family& family_of(const Json& config, const std::string& where) {
  const Fields fields(config, where);
  if (!config.is_object()) fields.refuse("not a JSON object");
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

RopeConfig parse_rope(const Fields& fields, const Json& rope, double theta) {
  if (!rope.is_object()) fields.refuse("the RoPE parameters are not an object");
  RopeConfig result;
  result.theta = fields.positive(rope, "rope_theta", theta);
  const std::string type = fields.text(rope, "rope_type", fields.text(rope, "type", "default"));
  const auto required = [&](std::string_view key) {
    if (rope.find_value(key) == nullptr) fields.refuse(fmt::format("RoPE type '{}' needs '{}'", type, key));
    return fields.positive(rope, key, 1);
  };
  const double partial =
      fields.positive(rope, "partial_rotary_factor", fields.positive(fields.json(), "partial_rotary_factor", 1));
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

// Of a family with two rotations: the entry of `rope_parameters` for one kind of layers, empty when there is none.
const Json& rope_of_kind(const Fields& fields, const Json* rope_parameters, std::string_view kind) {
  if (rope_parameters == nullptr) return kNothing;
  if (!rope_parameters->is_object() || rope_parameters->find_value("rope_theta") != nullptr ||
      rope_parameters->find_value("rope_type") != nullptr) {
    fields.refuse(
        fmt::format("'rope_parameters' is one set for all layers; expected '{}' and '{}' in it", kFull, kSliding));
  }
  const Json* found = rope_parameters->find_value(kind);
  return found == nullptr ? kNothing : *found;
}

void read_ropes(const Fields& fields, const Family& family, ModelConfig& result) {
  const Json* scaling = fields.json().find_value("rope_scaling");
  const Json* parameters = fields.json().find_value("rope_parameters");
  double theta = fields.positive(fields.json(), "rope_theta", family.rope_theta);
  const std::string_view local_key = family.local_rope.theta_key;
  if (local_key.empty()) {
    const Json* rope = scaling != nullptr ? scaling : parameters;
    result.rope = parse_rope(fields, rope != nullptr ? *rope : kNothing, theta);
    return;
  }
  // A scaling in the old words is never one of the layers with a window.
  const Json& full = rope_of_kind(fields, parameters, kFull);
  theta = fields.positive(full, "rope_theta", theta);
  result.rope = parse_rope(fields, scaling != nullptr ? *scaling : full, theta);
  result.local_rope = parse_rope(fields, rope_of_kind(fields, parameters, kSliding),
                                 fields.positive(fields.json(), local_key, family.local_rope.theta));
}

// Which layers have a window, by the list in the file or by the family's rule: [layers].
std::vector<bool> windowed_layers(const Fields& fields, const WindowRule& rule, int64_t layers) {
  std::vector<bool> windowed;
  if (const Json* types = fields.json().find_value("layer_types")) {
    for (const Json& type : types->as_array(fields.path("layer_types"))) {
      const std::string& name = type.as_string(fields.path("layer_types"));
      if (name != kFull && name != kSliding) {
        fields.refuse(fmt::format("'layer_types' has '{}'; known: {}, {}", name, kFull, kSliding));
      }
      windowed.push_back(name == kSliding);
    }
    if (static_cast<int64_t>(windowed.size()) != layers) {
      fields.refuse(fmt::format("'layer_types' has {} entries for {} layers", windowed.size(), layers));
    }
    return windowed;
  }
  const int64_t first = rule.first_key.empty() ? 0 : fields.count(rule.first_key, rule.first);
  const int64_t period = rule.period_key.empty() ? 0 : fields.size(rule.period_key, rule.period);
  for (int64_t l = 0; l < layers; ++l) windowed.push_back(l >= first && (period == 0 || (l + 1) % period != 0));
  return windowed;
}

std::vector<LayerAttention> read_windows(const Fields& fields, const Family& family, int64_t layers) {
  const WindowRule& rule = family.windows;
  std::vector<LayerAttention> result(static_cast<size_t>(layers));
  if (rule.size == 0 || (!rule.switch_key.empty() && !fields.flag(rule.switch_key, false))) return result;
  const Json* given = fields.json().find("sliding_window");
  // Unlike a missing one, null means: no windows.
  const bool none = given != nullptr && given->is_null();
  const bool local_rope = !family.local_rope.theta_key.empty();
  if (none && local_rope) fields.refuse(fmt::format("'sliding_window' is null; '{}' needs a number", family.name));
  if (none) return result;
  const int64_t window = fields.size("sliding_window", rule.size);
  const std::vector<bool> windowed = windowed_layers(fields, rule, layers);
  for (size_t l = 0; l < result.size(); ++l) {
    if (windowed[l]) result[l] = {.window = window, .local_rope = local_rope};
  }
  return result;
}

Activation read_activation(const Fields& fields, const Family& family) {
  const auto& known = family.activations;
  const std::string name = fields.text(fields.json(), family.activation_key, known.front());
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    fields.refuse(
        fmt::format("activation '{}' is not supported for '{}'; known: {}", name, family.name, fmt::join(known, ", ")));
  }
  return name == "silu" || name == "swish" ? Activation::kSilu : Activation::kGeluTanh;
}

void refuse_unsupported(const Fields& fields, const Family& family) {
  for (const std::string_view key : family.unsupported) {
    const Json* value = fields.json().find_value(key);
    if (value == nullptr || (value->is_bool() && !value->as_bool(""))) continue;
    fields.refuse(fmt::format("'{}' is {}; that is not supported for '{}'", key, value->dump(), family.name));
  }
}

float read_attention_scale(const Fields& fields, const Family& family, int64_t head_dim) {
  double base = static_cast<double>(head_dim);
  if (const std::string_view key = family.attention_scale_key; !key.empty()) {
    base = fields.positive(fields.json(), key, family.attention_scale_base);
  }
  return static_cast<float>(1 / std::sqrt(base));
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

// Reads the fields in groups: a group that is refused is a problem, and those that do not rest on it are still read.
class ConfigReader {
 public:
  ConfigReader(const Json& json, const Family& family, const std::string& where) : fields_(json, where) {
    config_.family = &family;
    attempt([&] { refuse_unsupported(fields_, family); });
    read_sizes(family);
    read_switches(family);
    attempt([&] { read_ropes(fields_, family, config_); });
    if (config_.layers > 0) attempt([&] { config_.layer_attention = read_windows(fields_, family, config_.layers); });
  }

  const ModelConfig& config() const { return config_; }
  const std::vector<Error>& problems() const { return problems_; }

 private:
  template <class Body>
  void attempt(Body body) {
    try {
      body();
    } catch (const Error& error) {
      problems_.push_back(error);
    }
  }

  void read_sizes(const Family& family) {
    ModelConfig& c = config_;
    attempt([&] { c.hidden = fields_.size("hidden_size"); });
    attempt([&] { c.intermediate = fields_.size("intermediate_size"); });
    attempt([&] { c.layers = fields_.size("num_hidden_layers", 0, kMaxLayers); });
    attempt([&] { c.heads = fields_.size("num_attention_heads"); });
    if (c.heads > 0) attempt([&] { read_heads(family); });
    attempt([&] { c.vocab = fields_.size("vocab_size"); });
    attempt([&] { c.max_positions = fields_.size("max_position_embeddings", family.max_positions); });
    attempt(
        [&] { c.norm_eps = static_cast<float>(fields_.positive(fields_.json(), "rms_norm_eps", family.norm_eps)); });
  }

  void read_heads(const Family& family) {
    ModelConfig& c = config_;
    c.kv_heads = fields_.size("num_key_value_heads", family.kv_heads > 0 ? family.kv_heads : c.heads);
    if (c.heads % c.kv_heads != 0) {
      fields_.refuse(fmt::format("{} query heads cannot share {} key/value heads evenly", c.heads, c.kv_heads));
    }
    const bool given = family.head_dim > 0 || fields_.json().find_value("head_dim") != nullptr;
    if (!given && c.hidden == 0) return;  // already a problem
    if (!given && c.hidden % c.heads != 0) {
      fields_.refuse(fmt::format(
          "'hidden_size' {} is no multiple of 'num_attention_heads' {}, and 'head_dim' is missing", c.hidden, c.heads));
    }
    c.head_dim = fields_.size("head_dim", family.head_dim > 0 ? family.head_dim : c.hidden / c.heads);
    if (c.head_dim % 2 != 0) fields_.refuse(fmt::format("'head_dim' is {}; RoPE needs an even number", c.head_dim));
    c.attention_scale = read_attention_scale(fields_, family, c.head_dim);
  }

  void read_switches(const Family& family) {
    ModelConfig& c = config_;
    attempt([&] {
      c.qkv_bias = fields_.bias(family.qkv_bias);
      c.o_bias = fields_.bias(family.o_bias);
      c.mlp_bias = fields_.bias(family.mlp_bias);
    });
    attempt([&] { c.tied_head = fields_.flag("tie_word_embeddings", family.tied_head); });
    attempt([&] { c.activation = read_activation(fields_, family); });
    if (family.scaled_embedding) c.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(c.hidden)));
  }

  Fields fields_;
  ModelConfig config_;
  std::vector<Error> problems_;
};

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
  return parse_model_config(config, family_of(config, where), where);
}

ModelConfig parse_model_config(const Json& config, const Family& family, const std::string& where) {
  ConfigReader reader(config, family, where);
  if (!reader.problems().empty()) throw reader.problems().front();
  return reader.config();
}

std::vector<Error> config_problems(const Json& config, const std::string& where) {
  try {
    return ConfigReader(config, family_of(config, where), where).problems();
  } catch (const Error& error) {
    return {error};
  }
}

std::string describe_rope(const ModelConfig& config) {
  std::string text = describe(config.rope);
  for (const LayerAttention& layer : config.layer_attention) {
    if (layer.window == 0) continue;
    text += fmt::format("; layers with a window of {}: {}", layer.window,
                        layer.local_rope ? describe(config.local_rope) : "the same");
    break;  // there is one size of window
  }
  return text;
}

}  // namespace hesse
