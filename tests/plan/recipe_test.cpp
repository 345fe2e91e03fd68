// Recipes: what they decide, and every way in which they can be wrong.
#include "plan/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hesse/error.h"

namespace hesse {
namespace {

using testing::HasSubstr;

// Two layers: q, k and v are one linear to engines, and the third reads the same input without being one with them.
LayerStages stages() {
  LayerStages layers;
  for (const char* layer : {"model.layers.0.", "model.layers.1."}) {
    const std::string l = layer;
    layers.push_back({{.name = "qkv",
                       .linears = {{.name = l + "attn.q_proj", .out = 64, .in = 64, .unit = 0},
                                   {.name = l + "attn.k_proj", .out = 32, .in = 64, .unit = 0},
                                   {.name = l + "mlp.fc1", .out = 128, .in = 64, .unit = 1}}},
                      {.name = "down", .linears = {{.name = l + "mlp.fc2", .out = 64, .in = 128}}}});
  }
  return layers;
}

std::map<std::string, LinearChoice> decide(std::string_view text) {
  return resolve_rules(parse_recipe(text, "r.toml"), stages(), {});
}

std::string problem(std::string_view text) {
  try {
    decide(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Recipe, TheFirstRuleThatMatchesDecides) {
  const auto choices = decide(R"(
[[rule]]
match = '.*\.0\.mlp\.fc2'
bits = 8
damp = 0.05
[[rule]]
match = '.*fc2$'
bits = 3
group_size = 32
[[rule]]
match = 'model\.layers\.1\.attn'
skip = true
)");
  ASSERT_EQ(choices.size(), 4u);
  EXPECT_EQ(choices.at("model.layers.0.mlp.fc2"), (LinearChoice{{.bits = 8}, 0.05}));
  EXPECT_EQ(choices.at("model.layers.1.mlp.fc2"), (LinearChoice{{.bits = 3, .group_size = 32}}));
  EXPECT_TRUE(choices.at("model.layers.1.attn.q_proj").skip);
  EXPECT_TRUE(choices.at("model.layers.1.attn.k_proj").skip);
}

TEST(Recipe, RulesChangeWhatHoldsForAll) {
  const Recipe recipe = parse_recipe("bits = 3\ngroup_size = 64\nsym = false\ndamp = 'auto'\nbits_target = 3.5\n", "r");
  EXPECT_EQ(recipe.values.bits, 3);
  EXPECT_EQ(recipe.values.group_size, 64);
  EXPECT_EQ(recipe.values.symmetric, false);
  EXPECT_EQ(recipe.values.damping, kDampingByData);
  EXPECT_EQ(recipe.bits_target, 3.5);
  const LinearChoice standard{{.bits = 3, .group_size = 64, .symmetric = false}, 0.2};
  const Recipe rule = parse_recipe("[[rule]]\nmatch = '.*fc1'\nbits = 8\n", "r");
  EXPECT_EQ(resolve_rules(rule, stages(), standard).at("model.layers.0.mlp.fc1"),
            (LinearChoice{{.bits = 8, .group_size = 64, .symmetric = false}, 0.2}));
}

TEST(Recipe, RulesOfOtherToolsAreRead) {
  const std::string rules = R"({".*fc2": {"bits": 8, "damp_percent": 0.1}, "-:.*fc1": {},
                                "+:.*\\.1\\..*": {"group_size": 32, "desc_act": false}})";
  for (const std::string& text :
       {rules, R"({"bits": 2, "group_size": 32, "dynamic": )" + rules + "}",
        R"({"model_type": "llama", "quantization_config": {"bits": 2, "group_size": 32, "dynamic": )" + rules + "}}"}) {
    const Recipe recipe = parse_recipe(text, "quantize_config.json");
    const auto choices = resolve_rules(recipe, stages(), {});
    EXPECT_TRUE(choices.at("model.layers.0.mlp.fc1").skip) << "rules that skip come first";
    EXPECT_EQ(choices.at("model.layers.1.mlp.fc2"), (LinearChoice{{.bits = 8}, 0.1}));
    EXPECT_EQ(choices.at("model.layers.1.attn.q_proj").spec.group_size, 32);
    EXPECT_EQ(recipe.values.bits.has_value(), text != rules);
  }
}

TEST(Recipe, WhatIsWrongIsOneClearLine) {
  const std::string rule = "[[rule]]\nmatch = '.*fc2'\n";
  const std::pair<std::string, std::string> cases[] = {
      {"bit = 4\n", "r.toml: 'bit' is not known; there are bits, group_size"},
      {rule + "bits = 8\nmode = 1\n", "r.toml, rule 1: 'mode' is not known"},
      {"[[rule]]\nbits = 8\n", "r.toml, rule 1: 'match' is missing"},
      {rule + "bits = 5\n", "rule 1: bits = 5; must be 2, 3, 4 or 8"},
      {rule + "group_size = 0\n", "group_size = 0"},
      {rule + "damp = -1.0\n", "damp = -1"},
      {rule, "nothing is decided"},
      {rule + "skip = true\nbits = 8\n", "skip leaves nothing"},
      {rule + "bits = 'x'\n", "rule 1, bits"},
      {"rule = 3\n", "rule"},
      {"bits_target = -1\n", "bits_target = -1"},
      {"[[rule]]\nmatch = '(fc'\nbits = 8\n", "'(fc' is no regular expression"},
      {"[[rule]]\nmatch = 'fc2'\nbits = 8\n",
       "'fc2' matches no linear; they have names like 'model.layers.0.attn.q_proj'"},
      {rule + "bits = 8\n" + rule + "bits = 4\n",
       "rule 2: all 2 linears that '.*fc2' matches are decided by rules before"},
      {"[[rule]]\nmatch = '.*q_proj'\nbits = 8\n", "'model.layers.0.attn.q_proj' would have 8 bits"},
      {"[[rule]]\nmatch = '.*\\.1\\..*k_proj'\nskip = true\n", "'model.layers.1.attn.k_proj' 16 bits"},
      {"{\"dynamic\": {\".*fc2\": {\"bit\": 8}}}", "dynamic '.*fc2': 'bit' is not known"},
      {"{\"dynamic\": {\".*fc2\": 8}}", "dynamic '.*fc2'"},
      {"{\"bits\": 16}", "bits = 16"},
      {"a = ", "line 1"},
  };
  for (const auto& [text, what] : cases) EXPECT_THAT(problem(text), HasSubstr(what)) << text;
}

TEST(Recipe, ExpertsOfALayerAndFusedPartsAreUnits) {
  LayerStages layers = stages();
  layers[1].push_back({.name = "up", .linears = {{.name = "e0.up"}}, .expert = 0});
  layers[1].push_back({.name = "down", .linears = {{.name = "e0.down"}}, .expert = 0});
  const auto units = fusion_units(layers);
  ASSERT_EQ(units.size(), 7u);
  EXPECT_EQ(units[0].size(), 2u);
  EXPECT_EQ(units[1].front().name, "model.layers.0.mlp.fc1");
  EXPECT_EQ(units[6].size(), 2u);
}

TEST(Recipe, ListsOfBits) {
  EXPECT_EQ(parse_bits("4,8"), (std::vector<int>{4, 8}));
  for (const char* text : {"", "4,", "5", "4, 8", "44"}) EXPECT_THROW(parse_bits(text), Error) << text;
}

}  // namespace
}  // namespace hesse
