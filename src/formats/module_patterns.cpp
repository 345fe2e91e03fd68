#include "formats/module_patterns.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

namespace hesse {
namespace {

// vLLM and SGLang fuse linears when they load a model and ask for a rule by the name of the whole.
struct FusedName {
  std::string_view whole;
  std::vector<std::string_view> parts;
};
const std::vector<FusedName> kFusedNames = {
    {"qkv_proj", {"q_proj", "k_proj", "v_proj"}},
    {"gate_up_proj", {"gate_proj", "up_proj"}},
};

constexpr std::string_view kExperts = ".experts.";

// "model.layers.3.mlp.up_proj": the module that holds it, and its own name.
std::pair<std::string, std::string> split_name(const std::string& module) {
  const size_t dot = module.rfind('.');
  if (dot == std::string::npos) return {"", module};
  return {module.substr(0, dot), module.substr(dot + 1)};
}

std::string escaped(std::string_view name) {
  std::string pattern;
  for (const char c : name) pattern += c == '.' ? "\\." : std::string(1, c);
  return pattern;
}

std::string pattern_of(const std::string& parent, std::vector<std::string> names) {
  const auto has = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  for (const FusedName& fused : kFusedNames) {
    if (std::all_of(fused.parts.begin(), fused.parts.end(), has)) names.emplace_back(fused.whole);
  }
  const std::string inside = escaped(parent.empty() ? parent : parent + ".");
  return names.size() == 1 ? fmt::format("^{}{}$", inside, names.front())
                           : fmt::format("^{}({})$", inside, fmt::join(names, "|"));
}

}  // namespace

std::vector<std::string> module_patterns(const std::vector<std::string>& modules) {
  std::vector<std::pair<std::string, std::vector<std::string>>> parents;
  for (const std::string& module : modules) {
    auto [parent, name] = split_name(module);
    if (parents.empty() || parents.back().first != parent) parents.push_back({parent, {}});
    parents.back().second.push_back(std::move(name));
  }
  std::vector<std::string> patterns;
  for (const auto& [parent, names] : parents) patterns.push_back(pattern_of(parent, names));
  return patterns;
}

std::vector<std::string> packed_patterns(const std::vector<std::string>& modules) {
  std::vector<std::string> others, patterns;
  for (const std::string& module : modules) {
    const size_t experts = module.find(kExperts);
    if (experts == std::string::npos) {
      others.push_back(module);
      continue;
    }
    std::string all = fmt::format("^{}(\\..*)?$", escaped(module.substr(0, experts + kExperts.size() - 1)));
    if (std::find(patterns.begin(), patterns.end(), all) == patterns.end()) patterns.push_back(std::move(all));
  }
  for (std::string& pattern : module_patterns(others)) patterns.push_back(std::move(pattern));
  return patterns;
}

std::vector<std::pair<LinearSpec, std::vector<std::string>>> modules_by_spec(const std::vector<PackedModule>& modules) {
  std::vector<std::pair<LinearSpec, std::vector<std::string>>> groups;
  for (const PackedModule& module : modules) {
    auto found = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == module.spec; });
    if (found == groups.end()) found = groups.insert(groups.end(), {module.spec, {}});
    found->second.push_back(module.name);
  }
  return groups;
}

}  // namespace hesse
