// Rotations and windows of the layers, as config.json tells them.
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

#include "model/config_fields.h"

namespace hesse {
namespace {

const Json kNothing = Json::object();
constexpr std::string_view kFull = "full_attention", kSliding = "sliding_attention";  // values of 'layer_types'
constexpr const char* kOriginal = "original_max_position_embeddings";

// Of the softmax's temperature when `scale` times longer texts are read (Peng et al. 2023, YaRN).
double yarn_scale(double scale, double weight) { return scale <= 1 ? 1 : 0.1 * weight * std::log(scale) + 1; }

class RopeReader {
 public:
  RopeReader(const Fields& fields, const Json& rope, const ModelConfig& config)
      : fields_(fields), rope_(rope), config_(config) {
    if (!rope.is_object()) fields.refuse("the RoPE parameters are not an object");
    type_ = fields.text(rope, "rope_type", fields.text(rope, "type", "default"));
  }

  RopeConfig read(double theta, int64_t dim) {
    result_.theta = fields_.positive(rope_, "rope_theta", theta);
    result_.dim = dim;
    if (type_ == "default" || type_ == "mrope") return result_;  // the axes of M-RoPE agree on text
    if (type_ == "linear") {
      result_.kind = RopeKind::kLinear;
      result_.factor = required("factor");
    } else if (type_ == "dynamic") {
      read_dynamic();
    } else if (type_ == "llama3") {
      read_llama3();
    } else if (type_ == "yarn") {
      read_yarn();
    } else if (type_ == "longrope" || type_ == "su") {
      read_longrope();
    } else {
      fields_.refuse(fmt::format(
          "RoPE type '{}' is not supported; known: default, linear, dynamic, yarn, longrope, llama3", type_));
    }
    return result_;
  }

 private:
  double required(std::string_view key) const {
    if (rope_.find_value(key) == nullptr) fields_.refuse(fmt::format("RoPE type '{}' needs '{}'", type_, key));
    return fields_.positive(rope_, key, 1);
  }
  double optional(std::string_view key, double missing) const { return fields_.positive(rope_, key, missing); }
  bool given(std::string_view key) const { return rope_.find_value(key) != nullptr; }
  double max_positions() const { return static_cast<double>(config_.max_positions); }

  void read_dynamic() {
    result_.kind = RopeKind::kDynamic;
    result_.factor = required("factor");
    result_.max_positions = max_positions();
    if (result_.dim == 2) fields_.refuse(fmt::format("RoPE type 'dynamic' cannot rotate {} elements", result_.dim));
  }

  void read_llama3() {
    result_.kind = RopeKind::kLlama3;
    result_.factor = required("factor");
    result_.low_freq_factor = required("low_freq_factor");
    result_.high_freq_factor = required("high_freq_factor");
    result_.original_positions = required(kOriginal);
    if (result_.high_freq_factor <= result_.low_freq_factor) {
      fields_.refuse(fmt::format("RoPE 'high_freq_factor' {} is not above 'low_freq_factor' {}",
                                 result_.high_freq_factor, result_.low_freq_factor));
    }
  }

  void read_yarn() {
    result_.kind = RopeKind::kYarn;
    result_.original_positions = optional(kOriginal, fields_.positive(kOriginal, max_positions()));
    result_.factor = optional("factor", max_positions() / result_.original_positions);
    result_.beta_fast = optional("beta_fast", 32);
    result_.beta_slow = optional("beta_slow", 1);
    if (const Json* truncate = rope_.find_value("truncate")) result_.truncate = truncate->as_bool("RoPE 'truncate'");
    const auto zero_or = [&](std::string_view key) {
      const Json* value = rope_.find_value(key);
      return value == nullptr ? 0 : value->as_double(fmt::format("RoPE '{}'", key));
    };
    const double above = zero_or("mscale"), below = zero_or("mscale_all_dim");
    const bool both = above != 0 && below != 0;
    const double scale =
        both ? yarn_scale(result_.factor, above) / yarn_scale(result_.factor, below) : yarn_scale(result_.factor, 1);
    result_.attention_factor = optional("attention_factor", scale);
    if (config_.latent.kv_rank > 0 && below != 0) result_.score_factor = std::pow(yarn_scale(result_.factor, below), 2);
  }

  void read_longrope() {
    result_.kind = RopeKind::kLongRope;
    result_.short_factor = factors("short_factor");
    result_.long_factor = factors("long_factor");
    const bool on_top = fields_.json().find_value(kOriginal) != nullptr;
    result_.original_positions = on_top ? fields_.positive(kOriginal, 1) : optional(kOriginal, max_positions());
    const double stretch = max_positions() / result_.original_positions;
    result_.factor = on_top ? stretch : optional("factor", stretch);
    double scale = 1;
    if (result_.factor > 1) scale = std::sqrt(1 + std::log(result_.factor) / std::log(result_.original_positions));
    result_.attention_factor = optional("attention_factor", scale);
  }

  std::vector<double> factors(std::string_view key) const {
    if (!given(key)) fields_.refuse(fmt::format("RoPE type '{}' needs '{}'", type_, key));
    std::vector<double> list;
    for (const Json& value : rope_.find_value(key)->as_array(fields_.path(key))) {
      list.push_back(value.as_double(fields_.path(key)));
      if (!(list.back() > 0))
        fields_.refuse(fmt::format("RoPE '{}' has {}; expected positive numbers", key, list.back()));
    }
    if (result_.dim > 0 && static_cast<int64_t>(list.size()) != result_.dim / 2) {
      fields_.refuse(fmt::format("RoPE '{}' has {} numbers for {} pairs", key, list.size(), result_.dim / 2));
    }
    return list;
  }

  const Fields& fields_;
  const Json& rope_;
  const ModelConfig& config_;
  std::string type_;
  RopeConfig result_;
};

// How many elements of a head rotate.
int64_t rotary_dim(const Fields& fields, const Family& family, const Json& rope, int64_t head_dim) {
  if (head_dim == 0) return 0;  // already a problem
  if (!family.rotary_dim_key.empty()) {
    const int64_t dim = fields.size(family.rotary_dim_key, family.rotary_dim);
    if (dim % 2 == 0 && dim <= head_dim) return dim;
    fields.refuse(fmt::format("'{}' is {}; expected an even number up to {}", family.rotary_dim_key, dim, head_dim));
  }
  const std::string_view key = fields.name_of(family.rotary_key);
  const double share = fields.positive(rope, "partial_rotary_factor", fields.positive(key, family.rotary_share));
  const int64_t dim = static_cast<int64_t>(static_cast<double>(head_dim) * std::min(share, 2.0));
  if (share <= 1 && dim % 2 == 0 && dim > 0) return dim;
  fields.refuse(fmt::format("'{}' is {}: {} of {} elements of a head would rotate; expected an even number",
                            key.empty() ? "partial_rotary_factor" : key, share, dim, head_dim));
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
  const int64_t period = rule.period_key.empty() ? rule.period : fields.size(rule.period_key, rule.period);
  const int64_t end = rule.end_key.empty() ? layers : fields.count(rule.end_key, rule.end);
  for (int64_t l = 0; l < layers; ++l)
    windowed.push_back(l >= first && l < end && (period == 0 || (l + 1) % period != 0));
  return windowed;
}

void read_windows(const Fields& fields, const Family& family, std::vector<LayerAttention>& layers) {
  const WindowRule& rule = family.windows;
  if (rule.size == 0 || (!rule.switch_key.empty() && !fields.flag(rule.switch_key, false))) return;
  const Json* given = fields.json().find("sliding_window");
  // Unlike a missing one, null means: no windows.
  const bool none = given == nullptr ? rule.size == kWindowIfGiven : given->is_null();
  const bool local_rope = !family.local_rope.theta_key.empty();
  if (none && local_rope) fields.refuse(fmt::format("'sliding_window' is null; '{}' needs a number", family.name));
  if (none) return;
  const int64_t window = fields.size("sliding_window", rule.size);
  const std::vector<bool> windowed = windowed_layers(fields, rule, static_cast<int64_t>(layers.size()));
  for (size_t l = 0; l < layers.size(); ++l) {
    if (windowed[l]) layers[l] = {.window = window, .local_rope = local_rope};
  }
}

// By the list 'no_rope_layers', where 1 means that the layer rotates, or by the family's rule.
void read_listed(const Fields& fields, const Family& family, std::vector<LayerAttention>& layers) {
  if (const Json* list = fields.json().find_value("no_rope_layers")) {
    const Json::Array& flags = list->as_array(fields.path("no_rope_layers"));
    if (flags.size() != layers.size()) {
      fields.refuse(fmt::format("'no_rope_layers' has {} entries for {} layers", flags.size(), layers.size()));
    }
    for (size_t l = 0; l < layers.size(); ++l) layers[l].rotates = flags[l].as_int(fields.path("no_rope_layers")) != 0;
    return;
  }
  const int64_t period = fields.size(family.rope_period_key, family.rope_period);
  for (size_t l = 0; l < layers.size(); ++l) layers[l].rotates = (static_cast<int64_t>(l) + 1) % period != 0;
}

}  // namespace

void read_ropes(const Fields& fields, const Family& family, ModelConfig& result) {
  if (family.rope == RopeStyle::kNone) return;
  const Json* scaling = fields.json().find_value("rope_scaling");
  const Json* parameters = fields.json().find_value("rope_parameters");
  const std::string_view theta_key = fields.name_of(family.rope_theta_key);
  double theta = fields.positive(theta_key, family.rope_theta);
  const auto parse = [&](const Json& rope, double missing) {
    RopeReader reader(fields, rope, result);  // complains about what is no object
    const int64_t rotating = result.latent.kv_rank > 0 ? result.latent.rope : result.head_dim;
    return reader.read(missing, rotary_dim(fields, family, rope, rotating));
  };
  const std::string_view local_key = family.local_rope.theta_key;
  if (local_key.empty()) {
    if (family.rope_type_required && scaling == nullptr && parameters == nullptr)
      fields.refuse(fmt::format("'{}' needs 'rope_scaling' or 'rope_parameters'", family.name));
    const Json* rope = scaling != nullptr ? scaling : parameters;
    result.rope = parse(rope != nullptr ? *rope : kNothing, theta);
    return;
  }
  // A scaling in the old words is never one of the layers with a window.
  const Json& full = rope_of_kind(fields, parameters, kFull);
  theta = fields.positive(full, "rope_theta", theta);
  result.rope = parse(scaling != nullptr ? *scaling : full, theta);
  result.local_rope =
      parse(rope_of_kind(fields, parameters, kSliding), fields.positive(local_key, family.local_rope.theta));
}

std::vector<LayerAttention> read_layers(const Fields& fields, const Family& family, int64_t layers) {
  std::vector<LayerAttention> result(static_cast<size_t>(layers));
  read_windows(fields, family, result);
  const bool alibi = family.alibi != AlibiKind::kNone && fields.flag(family.alibi_switch);
  if (family.rope == RopeStyle::kNone || alibi) {
    for (LayerAttention& layer : result) layer.rotates = false;
  } else if (family.rope_layers == RopeLayers::kWindowed) {
    for (LayerAttention& layer : result) layer.rotates = layer.window > 0;
  } else if (family.rope_layers == RopeLayers::kListed) {
    read_listed(fields, family, result);
  }
  return result;
}

}  // namespace hesse
