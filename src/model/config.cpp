#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hesse/error.h"
#include "io/file.h"
#include "model/config_fields.h"

namespace hesse {
namespace {

constexpr int64_t kMaxLayers = 65536;  // far above any model; what is listed by layer must fit into memory

std::string known_types() {
  std::vector<std::string_view> known;
  for (const Family& row : families()) known.insert(known.end(), row.model_types.begin(), row.model_types.end());
  for (const Wrapper& wrapper : wrappers()) known.push_back(wrapper.model_type);
  std::vector<std::string_view> each;  // several rows may share a name
  for (const std::string_view type : known) {
    if (std::find(each.begin(), each.end(), type) == each.end()) each.push_back(type);
  }
  return fmt::format("{}", fmt::join(each, ", "));
}

const Family& family_of(const Json& config, const std::string& where) {
  const Fields fields(config, where);
  if (!config.is_object()) fields.refuse("not a JSON object");
  if (const Family* family = find_family(config, where)) return *family;
  const std::string type = fields.text(fields.json(), "model_type", "");
  if (type.empty()) fields.refuse(fmt::format("'model_type' is missing; known architectures: {}", known_types()));
  fields.refuse(fmt::format("architecture '{}' is not supported; known architectures: {}", type, known_types()));
}

const Wrapper* wrapper_of(const Json& config) {
  const Json* type = config.find_value("model_type");
  return type != nullptr && type->is_string() ? find_wrapper(type->as_string("")) : nullptr;
}

Activation read_activation(const Fields& fields, const Family& family) {
  const auto& known = family.activations;
  const std::string name = fields.text(fields.json(), fields.name_of(family.activation_key), known.front());
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    fields.refuse(
        fmt::format("activation '{}' is not supported for '{}'; known: {}", name, family.name, fmt::join(known, ", ")));
  }
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu") return family.gelu_is_tanh ? Activation::kGeluTanh : Activation::kGelu;
  if (name == "relu") return Activation::kRelu;
  return name == "quick_gelu" ? Activation::kQuickGelu : Activation::kGeluTanh;
}

GateClamp read_clamp(const Fields& fields, const ClampRule& rule) {
  const GateClamp clamp{fields.number(rule.alpha), fields.number(rule.limit)};
  if (rule.limit.missing == 0 || (clamp.alpha > 0 && clamp.limit > 0)) return clamp;
  fields.refuse(fmt::format("'{}' is {} and '{}' is {}; expected positive numbers", rule.alpha.key, clamp.alpha,
                            rule.limit.key, clamp.limit));
}

void refuse_unsupported(const Fields& fields, const Family& family) {
  const auto refuse = [&](std::string_view key, const Json& value) {
    fields.refuse(fmt::format("'{}' is {}; that is not supported for '{}'", key, value.dump(), family.name));
  };
  for (const std::string_view key : family.unsupported) {
    const Json* value = fields.json().find_value(key);
    if (value != nullptr && !(value->is_bool() && !value->as_bool(""))) refuse(key, *value);
  }
  for (const std::string_view key : family.required) {
    const Json* value = fields.json().find_value(key);
    if (value != nullptr && !(value->is_bool() && value->as_bool(""))) refuse(key, *value);
  }
}

float read_attention_scale(const Fields& fields, const Family& family, int64_t head_dim) {
  const float multiplier = fields.number(family.attention_multiplier);
  if (multiplier != 0) return multiplier;
  double base = static_cast<double>(head_dim);
  if (const std::string_view key = family.attention_scale_key; !key.empty()) {
    base = fields.positive(key, family.attention_scale_base);
  }
  return static_cast<float>(1 / std::sqrt(base));
}

std::string describe(const RopeConfig& rope) {
  switch (rope.kind) {
    case RopeKind::kDefault:
      return fmt::format("default, theta {}", rope.theta);
    case RopeKind::kLinear:
      return fmt::format("linear, factor {}, theta {}", rope.factor, rope.theta);
    case RopeKind::kDynamic:
      return fmt::format("dynamic, factor {}, theta {}", rope.factor, rope.theta);
    case RopeKind::kYarn:
      return fmt::format("yarn, factor {}, theta {}", rope.factor, rope.theta);
    case RopeKind::kLongRope:
      return fmt::format("longrope, factor {}, theta {}", rope.factor, rope.theta);
    case RopeKind::kLlama3:
      return fmt::format("llama3, factor {}, theta {}", rope.factor, rope.theta);
  }
  return "";
}

// Reads the fields in groups: a group that is refused is a problem, and those that do not rest on it are still read.
class ConfigReader {
 public:
  ConfigReader(const Json& json, const Family& family, const std::string& where)
      : json_(text_config(json)), fields_(json_, where) {
    config_.family = &family;
    const Wrapper* wrapper = wrapper_of(json);
    config_.is_part = wrapper != nullptr;
    config_.schemes = wrapper != nullptr ? wrapper->schemes : family.schemes;
    attempt([&] { refuse_unsupported(fields_, family); });
    read_sizes(family);
    read_switches(family);
    attempt([&] { read_ropes(fields_, family, config_); });
    config_.attention_scale *= static_cast<float>(config_.rope.score_factor);
    if (config_.layers == 0) return;
    attempt([&] { config_.layer_attention = read_layers(fields_, family, config_.layers); });
    attempt([&] { config_.experts = read_experts(fields_, family, config_.layers); });
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

  int64_t size(const Key& key, int64_t missing = 0) const { return fields_.size(fields_.name_of(key), missing); }

  void read_sizes(const Family& family) {
    ModelConfig& c = config_;
    attempt([&] { c.hidden = size(family.hidden_key); });
    attempt([&] { c.intermediate = size(family.intermediate_key, family.intermediate_factor * c.hidden); });
    attempt([&] { c.layers = fields_.size(fields_.name_of(family.layers_key), 0, kMaxLayers); });
    attempt([&] { c.heads = size(family.heads_key); });
    attempt([&] { c.max_positions = size(family.positions_key, family.max_positions); });
    if (c.heads > 0 && family.attention == AttentionKind::kLatent) {
      attempt([&] { read_latent_heads(fields_, family, c); });
    } else if (c.heads > 0) {
      attempt([&] { read_heads(family); });
    }
    attempt([&] { c.vocab = fields_.size("vocab_size"); });
    attempt([&] { c.norm_eps = static_cast<float>(fields_.positive(family.norm.eps_key, family.norm.eps)); });
    c.embedding_width = c.hidden;
    if (!family.embedding_width_key.empty() && c.hidden > 0)
      attempt([&] { c.embedding_width = fields_.size(family.embedding_width_key, c.hidden); });
  }

  int64_t read_kv_heads(const Family& family) const {
    if (fields_.flag(family.multi_query)) return 1;
    if (family.kv_heads_key.name.empty()) return config_.heads;
    return size(family.kv_heads_key, family.kv_heads > 0 ? family.kv_heads : config_.heads);
  }

  void read_heads(const Family& family) {
    ModelConfig& c = config_;
    constexpr int64_t kMostModules = 1024;  // each is looked for by its name
    if (family.head_norm == HeadNormKind::kModules && c.heads > kMostModules)
      fields_.refuse(fmt::format("{} heads are more than {}", c.heads, kMostModules));
    c.kv_heads = read_kv_heads(family);
    if (c.heads % c.kv_heads != 0) {
      fields_.refuse(fmt::format("{} query heads cannot share {} key/value heads evenly", c.heads, c.kv_heads));
    }
    const bool given = family.head_dim > 0 || fields_.json().find_value("head_dim") != nullptr;
    if (!given && c.hidden == 0) return;  // already a problem
    if (!given && c.hidden % c.heads != 0) {
      fields_.refuse(fmt::format("'{}' {} is no multiple of '{}' {}, and 'head_dim' is missing",
                                 fields_.name_of(family.hidden_key), c.hidden, fields_.name_of(family.heads_key),
                                 c.heads));
    }
    c.head_dim = fields_.size("head_dim", family.head_dim > 0 ? family.head_dim : c.hidden / c.heads);
    constexpr int64_t kWidest = int64_t{1} << 30;
    if (c.head_dim > kWidest / c.heads) fields_.refuse(fmt::format("{} heads of {} are too many", c.heads, c.head_dim));
    if (c.head_dim % 2 != 0 && family.rope != RopeStyle::kNone)
      fields_.refuse(fmt::format("'head_dim' is {}; RoPE needs an even number", c.head_dim));
    c.attention_scale = read_attention_scale(fields_, family, c.head_dim);
  }

  void read_switches(const Family& family) {
    ModelConfig& c = config_;
    attempt([&] {
      c.qkv_bias = fields_.flag(family.qkv_bias);
      c.o_bias = fields_.flag(family.o_bias);
      c.mlp_bias = fields_.flag(family.mlp_bias);
      c.head_bias = fields_.flag(family.head_bias);
      c.head_norms = family.head_norm != HeadNormKind::kNone && fields_.flag(family.head_norm_switch);
      c.normed_head = fields_.holds(family.normed_head);
    });
    attempt([&] { c.tied_head = fields_.flag("tie_word_embeddings", family.tied_head); });
    attempt([&] { c.activation = read_activation(fields_, family); });
    attempt([&] { c.clamp = read_clamp(fields_, family.clamp); });
    attempt([&] { c.alibi = fields_.flag(family.alibi_switch) ? family.alibi : AlibiKind::kNone; });
    attempt([&] { read_factors(family); });
  }

  void read_factors(const Family& family) {
    ModelConfig& c = config_;
    c.embedding_scale = fields_.number(family.embedding_multiplier);
    if (family.scaled_embedding) c.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(c.hidden)));
    c.residual_scale = fields_.number(family.residual_multiplier);
    c.attention_softcap = fields_.number(family.attention_softcap);
    c.logit_softcap = fields_.number(family.logit_softcap);
    const float divisor = fields_.number(family.logit_divisor);
    if (divisor == 0)
      fields_.refuse(fmt::format("'{}' is 0; logits cannot be divided by it", family.logit_divisor.key));
    c.logit_scale = fields_.number(family.logit_multiplier) / divisor;
  }

  Json json_;
  Fields fields_;
  ModelConfig config_;
  std::vector<Error> problems_;
};

}  // namespace

std::string ModelConfig::whole_name(std::string_view relative) const {
  return fmt::format("{}{}", schemes.front().prefix, relative);
}

std::string ModelConfig::in_layer(int64_t layer, std::string_view relative) const {
  const std::string_view prefix = family->layer_prefix;
  const size_t hole = prefix.find("{}");
  return fmt::format("{}{}{}{}{}", schemes.front().prefix, prefix.substr(0, hole), layer, prefix.substr(hole + 2),
                     relative);
}

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

Json text_config(const Json& config) {
  const Wrapper* wrapper = wrapper_of(config);
  if (wrapper == nullptr) return config;
  Json text = config;
  text.set("model_type", Json(std::string(wrapper->text_type)));
  const Json* part = config.find_value("text_config");
  if (part == nullptr || !part->is_object()) return text;
  for (const auto& [key, value] : part->as_object("text_config")) text.set(key, value);
  return text;
}

const Family* find_family(const Json& config, const std::string& where, std::string_view as) {
  const Json text = text_config(config);
  const Fields fields(text, where);
  const std::string type = as.empty() ? fields.text(text, "model_type", "") : std::string(as);
  for (const Family& family : families()) {
    const auto& types = family.model_types;
    if (std::find(types.begin(), types.end(), type) == types.end()) continue;
    const auto holds = [&](const Condition& condition) { return fields.holds(condition); };
    if (std::all_of(family.when.begin(), family.when.end(), holds)) return &family;
  }
  return nullptr;
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
  const auto& layers = config.layer_attention;
  const auto rotates = [](const LayerAttention& layer) { return layer.rotates; };
  const auto turning = std::count_if(layers.begin(), layers.end(), rotates);
  std::string text = turning == 0 ? "none" : describe(config.rope);
  if (turning > 0 && turning < std::ssize(layers))
    text += fmt::format("; {} of {} layers without", std::ssize(layers) - turning, layers.size());
  for (const LayerAttention& layer : layers) {
    if (layer.window == 0) continue;
    text += fmt::format("; layers with a window of {}: {}", layer.window,
                        layer.local_rope ? describe(config.local_rope) : "the same");
    break;  // there is one size of window
  }
  return text;
}

}  // namespace hesse
