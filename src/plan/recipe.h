// Recipes: which linears get other bits, groups or damping than the rest, and which stay as they are. From a TOML file
// (docs/RECIPES.md), or from the "dynamic" rules of a quantize_config.json of GPTQModel.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"
#include "plan/choice.h"
#include "plan/selection.h"

namespace hesse {

// What is said of some linears, or of all; nothing where it is silent.
struct RecipeValues {
  std::optional<int> bits = {};
  std::optional<int64_t> group_size = {};
  std::optional<bool> symmetric = {};
  std::optional<double> damping = {};
};

struct RecipeRule {
  std::string place = {};    // "recipe.toml, rule 2", for messages
  std::string pattern = {};  // ECMAScript, matched from the beginning of a linear's name
  bool skip = false;
  RecipeValues values = {};
};

struct Recipe {
  std::string place = {};  // the file
  RecipeValues values = {};
  double bits_target = 0;  // 0: none
  std::vector<RecipeRule> rules = {};
};

// `text` is JSON when it begins with a brace. Error(kBadInput) for a key that is not known, a value that cannot be
// meant, a pattern that is none: place, key, and what there may be.
Recipe parse_recipe(std::string_view text, const std::string& where);

// "4,8": Error(kUsage) for what is no list of 2, 3, 4 and 8.
std::vector<int> parse_bits(std::string_view list);

// What the rules decide, by the name of the linear; only those that they say anything of. The first rule that matches
// decides. Error(kUsage) for a rule that matches nothing, or nothing that a rule before it has left, and for parts that
// engines fuse or read in one kernel when they would differ.
std::map<std::string, LinearChoice> resolve_rules(const Recipe& recipe, const LayerStages& stages,
                                                  const LinearChoice& standard);

// That linears of a unit agree: Error(kUsage) names the first two that do not. `place` stands in front.
void require_equal_units(const LayerStages& stages, const std::map<std::string, LinearChoice>& choices,
                         const LinearChoice& standard, const std::string& place);

// The linears that have to agree, as lists of names: those that engines fuse, and all experts of a layer.
std::vector<std::vector<LinearShape>> fusion_units(const LayerStages& stages);

}  // namespace hesse
