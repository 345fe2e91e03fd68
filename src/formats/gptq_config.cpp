#include "formats/gptq_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "formats/gptq.h"
#include "formats/module_patterns.h"
#include "hesse/error.h"

namespace hesse {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::kBadInput, "[gptq] quantization_config: " + what);
}

// The string under `key`, or under the newer name `alias`; both may stand there when they agree.
std::optional<std::string> either(const Json& config, const char* key, const char* alias) {
  const Json* first = config.find_value(key);
  const Json* second = config.find_value(alias);
  if (first == nullptr && second == nullptr) return std::nullopt;
  if (first == nullptr) return second->as_string(std::string("quantization_config.") + alias);
  const std::string& value = first->as_string(std::string("quantization_config.") + key);
  if (second != nullptr && second->as_string(std::string("quantization_config.") + alias) != value) {
    refuse(fmt::format("{} is \"{}\", but {} is {}", key, value, alias, second->dump()));
  }
  return value;
}

int64_t required_int(const Json& config, const char* key) {
  const Json* value = config.find_value(key);
  if (value == nullptr) refuse(fmt::format("'{}' is missing", key));
  return value->as_int(std::string("quantization_config.") + key);
}

std::optional<bool> optional_bool(const Json& config, const char* key) {
  const Json* value = config.find_value(key);
  if (value == nullptr) return std::nullopt;
  return value->as_bool(std::string("quantization_config.") + key);
}

// Rules "-:PATTERN" only say which linears are not quantized, and that shows in the tensors.
bool has_overrides(const Json& config) {
  const Json* rules = config.find_value("dynamic");
  if (rules == nullptr) return false;
  const Json::Object& members = rules->as_object("quantization_config.dynamic");
  return std::any_of(members.begin(), members.end(),
                     [](const Json::Member& rule) { return !rule.first.starts_with("-:"); });
}

// Other programs refuse 0 and 1; the nearest value they take says the same to a human.
double storable_damping(double damping) { return std::isfinite(damping) ? std::clamp(damping, 1e-6, 0.999999) : 0.01; }

// "-:" and a regular expression, which readers match from the start of a module's name: what stays as it is. Then what
// is packed otherwise than the rest.
Json dynamic_rules(const FormatConfig& config) {
  Json rules = Json::object();
  for (const std::string& pattern : module_patterns(config.skipped)) rules.set("-:" + pattern, Json::object());
  for (const auto& [spec, modules] : modules_by_spec(config.packed)) {
    if (spec == config.spec) continue;
    const Json values = Json::Object{{"bits", spec.bits}, {"group_size", spec.group_size}, {"sym", spec.symmetric}};
    for (const std::string& pattern : packed_patterns(modules)) rules.set("+:" + pattern, values);
  }
  return rules;
}

// transformers does not look at "dynamic"; what this list does not name stays as it is. It takes names by their ends,
// so that whole names tell the layers apart.
Json packed_list(const FormatConfig& config) {
  Json::Array names;
  for (const PackedModule& module : config.packed) {
    if (module.name != config.head) names.emplace_back(module.name);
  }
  return Json(Json::Array{Json(std::move(names))});
}

}  // namespace

std::optional<std::string> gptq_checkpoint_format(const Json& quantization_config) {
  const auto method = either(quantization_config, "quant_method", "method");
  if (method != "gptq") return std::nullopt;
  const std::string format = either(quantization_config, "checkpoint_format", "format").value_or("gptq");
  if (format != kGptqV1.name && format != kGptqV2.name) {
    refuse(
        fmt::format("checkpoint_format \"{}\" cannot be read, only \"gptq\" and \"gptq_v2\"; convert the model with "
                    "the program that made it, or quantize the original",
                    format));
  }
  if (optional_bool(quantization_config, "is_marlin_format").value_or(false)) {
    refuse("is_marlin_format is true; files packed for Marlin cannot be read, quantize the original");
  }
  return format;
}

GptqSettings gptq_settings(const Json& quantization_config) {
  GptqSettings settings;
  const int64_t bits = required_int(quantization_config, "bits");
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8) {
    refuse(fmt::format("bits = {}, known are 2, 3, 4 and 8", bits));
  }
  settings.bits = static_cast<int>(bits);
  settings.group_size = required_int(quantization_config, "group_size");
  if (settings.group_size < -1 || settings.group_size == 0) {
    refuse(fmt::format("group_size = {}, must be -1 (whole row) or positive", settings.group_size));
  }
  settings.symmetric = optional_bool(quantization_config, "sym");
  settings.overrides = has_overrides(quantization_config);
  // Where the groups lie is read from g_idx, but a wrong type here means a damaged configuration.
  optional_bool(quantization_config, "desc_act");
  if (const Json* word = quantization_config.find_value("pack_dtype");
      word != nullptr && word->as_string("quantization_config.pack_dtype") != "int32") {
    refuse(fmt::format("pack_dtype is {}, only \"int32\" can be read", word->dump()));
  }
  if (const Json* rotation = quantization_config.find_value("rotation"); rotation != nullptr) {
    refuse(fmt::format("rotation is {}; models with rotated activations cannot be read", rotation->dump()));
  }
  return settings;
}

Json GptqFormat::config(const FormatConfig& config) const {
  Json meta = Json::object();
  meta.set("quantizer", Json::Array{Json(config.tool_version)});
  for (const auto& [name, value] : config.meta.as_object("meta")) meta.set(name, value);

  const Json format(std::string(version_.name));
  Json object = Json::object();
  object.set("quant_method", "gptq");
  object.set("method", "gptq");
  object.set("checkpoint_format", format);
  object.set("format", format);
  object.set("bits", config.spec.bits);
  object.set("group_size", config.spec.group_size);
  object.set("sym", config.spec.symmetric);
  // One group for the whole row has no order.
  object.set("desc_act", config.act_order && config.spec.group_size != -1);
  object.set("lm_head", !config.head.empty());
  object.set("static_groups", false);
  object.set("true_sequential", true);
  object.set("damp_percent", storable_damping(config.damping));
  object.set("pack_dtype", "int32");
  if (Json rules = dynamic_rules(config); !rules.as_object("dynamic").empty()) object.set("dynamic", std::move(rules));
  if (!config.skipped.empty()) object.set("modules_in_block_to_quantize", packed_list(config));
  object.set("meta", std::move(meta));
  return object;
}

// Rules as module_patterns() writes them; with names of fused linears that no file has.
std::vector<std::string> GptqFormat::listed_as_plain(const Json& quantization_config) const {
  std::vector<std::string> modules;
  const Json* rules = quantization_config.find_value("dynamic");
  if (rules == nullptr) return modules;
  for (const auto& [rule, value] : rules->as_object("quantization_config.dynamic")) {
    if (!rule.starts_with("-:^") || !rule.ends_with("$")) continue;
    std::string name = rule.substr(3, rule.size() - 4);
    for (size_t at = 0; (at = name.find("\\.", at)) != std::string::npos; ++at) name.erase(at, 1);
    std::string parts = name.ends_with(")") ? name.substr(name.find('(') + 1) : "";
    if (!parts.empty()) {
      name.resize(name.size() - parts.size() - 1);
      parts.pop_back();
    }
    if ((name + parts).find_first_of("\\*+?()[]{}^$") != std::string::npos) continue;
    for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
      end = parts.find('|', begin);
      modules.push_back(name + parts.substr(begin, end - begin));
    }
  }
  return modules;
}

bool GptqFormat::recognises(const Json& quantization_config) const {
  return gptq_checkpoint_format(quantization_config) == version_.name;
}

}  // namespace hesse
