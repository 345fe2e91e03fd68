// Reading recipes: TOML of ours, JSON of other tools.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <regex>
#include <utility>

#include "hesse/error.h"
#include "io/toml.h"
#include "plan/recipe.h"

namespace hesse {
namespace {

using Keys = std::vector<std::string_view>;

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kBadInput, "[recipe] " + what); }

void require_keys(const Json& object, const std::string& place, const Keys& known) {
  for (const auto& [key, value] : object.as_object(place)) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      refuse(fmt::format("{}: '{}' is not known; there are {}", place, key, fmt::join(known, ", ")));
  }
}

std::optional<int> bits_in(const Json& object, const std::string& place) {
  const Json* value = object.find_value("bits");
  if (value == nullptr) return std::nullopt;
  const int64_t bits = value->as_int(place + ", bits");
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
    refuse(fmt::format("{}: bits = {}; must be 2, 3, 4 or 8 (bits_target takes what lies between)", place, bits));
  return static_cast<int>(bits);
}

std::optional<int64_t> group_size_in(const Json& object, const std::string& place) {
  const Json* value = object.find_value("group_size");
  if (value == nullptr) return std::nullopt;
  const int64_t size = value->as_int(place + ", group_size");
  if (size < -1 || size == 0)
    refuse(fmt::format("{}: group_size = {}; must be positive, or -1 for a whole row", place, size));
  return size;
}

std::optional<bool> truth_in(const Json& object, const std::string& place, const char* key) {
  const Json* value = object.find_value(key);
  if (value == nullptr) return std::nullopt;
  return value->as_bool(fmt::format("{}, {}", place, key));
}

std::optional<double> damping_in(const Json& object, const std::string& place, const char* key) {
  const Json* value = object.find_value(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_string() && value->as_string(place) == "auto") return kDampingByData;
  const double damping = value->as_double(fmt::format("{}, {}", place, key));
  if (!(damping > 0 && damping <= 10))
    refuse(fmt::format("{}: {} = {}; must be above 0 and at most 10, or \"auto\"", place, key, damping));
  return damping;
}

RecipeValues values_in(const Json& object, const std::string& place, const char* damping_key) {
  return {.bits = bits_in(object, place),
          .group_size = group_size_in(object, place),
          .symmetric = truth_in(object, place, "sym"),
          .damping = damping_in(object, place, damping_key)};
}

bool says_nothing(const RecipeValues& values) {
  return !values.bits && !values.group_size && !values.symmetric && !values.damping;
}

void require_pattern(const RecipeRule& rule) {
  try {
    std::regex{rule.pattern};
  } catch (const std::regex_error& error) {
    refuse(fmt::format("{}: '{}' is no regular expression: {}", rule.place, rule.pattern, error.what()));
  }
}

RecipeRule toml_rule(const Json& object, const std::string& place) {
  require_keys(object, place, {"match", "bits", "group_size", "sym", "damp", "skip"});
  RecipeRule rule{.place = place, .values = values_in(object, place, "damp")};
  const Json* match = object.find_value("match");
  if (match == nullptr) refuse(fmt::format("{}: 'match' is missing, the pattern of the linears it is about", place));
  rule.pattern = match->as_string(place + ", match");
  rule.skip = truth_in(object, place, "skip").value_or(false);
  if (rule.skip && !says_nothing(rule.values)) refuse(place + ": skip leaves nothing for the other keys to decide");
  if (!rule.skip && says_nothing(rule.values))
    refuse(place + ": nothing is decided; bits, group_size, sym, damp or skip");
  require_pattern(rule);
  return rule;
}

Recipe toml_recipe(const Json& document, const std::string& where) {
  require_keys(document, where, {"bits", "group_size", "sym", "damp", "bits_target", "rule"});
  Recipe recipe{.place = where, .values = values_in(document, where, "damp")};
  if (const Json* target = document.find_value("bits_target")) {
    recipe.bits_target = target->as_double(where + ", bits_target");
    if (!(recipe.bits_target > 0))
      refuse(fmt::format("{}: bits_target = {}; must be above 0", where, recipe.bits_target));
  }
  if (const Json* rules = document.find_value("rule")) {
    for (const Json& rule : rules->as_array(where + ", rule"))
      recipe.rules.push_back(toml_rule(rule, fmt::format("{}, rule {}", where, recipe.rules.size() + 1)));
  }
  return recipe;
}

// GPTQModel's: "-:PATTERN" leaves linears as they are, "+:PATTERN" or PATTERN changes what holds for them.
RecipeRule dynamic_rule(const std::string& key, const Json& object, const std::string& where) {
  RecipeRule rule{.place = fmt::format("{}, dynamic '{}'", where, key)};
  rule.skip = key.starts_with("-:");
  rule.pattern = rule.skip || key.starts_with("+:") ? key.substr(2) : key;
  require_pattern(rule);
  if (rule.skip) return rule;
  // The others say how the tool itself solves, or what a loader finds out by itself.
  require_keys(object, rule.place,
               {"bits", "group_size", "sym", "damp_percent", "desc_act", "static_groups", "mse", "act_group_aware",
                "pack_dtype"});
  rule.values = values_in(object, rule.place, "damp_percent");
  return rule;
}

// quantize_config.json, a config.json around it, or a bare dictionary of rules.
Recipe json_recipe(const Json& document, const std::string& where) {
  const Json* inner = document.find_value("quantization_config");
  const Json& config = inner != nullptr ? *inner : document;
  config.as_object(where);
  Recipe recipe{.place = where};
  const Json* dynamic = config.find_value("dynamic");
  if (config.find_value("bits") == nullptr && dynamic == nullptr) {
    dynamic = &config;
  } else {
    recipe.values = values_in(config, where, "damp_percent");
  }
  if (dynamic == nullptr) return recipe;
  // GPTQModel asks for those that leave linears alone first.
  for (const bool skips : {true, false}) {
    for (const auto& [key, object] : dynamic->as_object(where + ", dynamic")) {
      if (key.starts_with("-:") == skips) recipe.rules.push_back(dynamic_rule(key, object, where));
    }
  }
  return recipe;
}

}  // namespace

std::vector<int> parse_bits(std::string_view list) {
  std::vector<int> bits;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const std::string_view part = list.substr(begin, end - begin);
    const bool known = part == "2" || part == "3" || part == "4" || part == "8";
    if (!known) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("bits-choices is '{}', and '{}' is none; some of 2, 3, 4 and 8 such as 4,8", list, part));
    }
    bits.push_back(part.front() - '0');
    begin = end + 1;
  }
  return bits;
}

Recipe parse_recipe(std::string_view text, const std::string& where) {
  const size_t first = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (first != std::string_view::npos && text[first] == '{') return json_recipe(Json::parse(text, where), where);
  return toml_recipe(parse_toml(text, where), where);
}

}  // namespace hesse
