// Runs whose linears differ in bits and groups: by a recipe, and by what was measured.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

#include "hesse/api.h"
#include "io/checkpoint.h"
#include "run/measure.h"
#include "run/resume_testing.h"
#include "run/small_experts.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kRecipe = R"(
damp = 0.02
[[rule]]
match = '.*layers\.0\.self_attn\.o_proj'
skip = true
[[rule]]
match = '.*o_proj'
bits = 8
group_size = 32
sym = true
[[rule]]
match = '.*layers\.1\.self_attn\.[qkv]_proj'
bits = 2
damp = 0.1
)";

class Recipes : public Resume {
 protected:
  QuantizeOptions with_recipe(const std::string& text) {
    std::ofstream(folder_ / "model/r.toml") << text;
    QuantizeOptions o = options("");
    o.recipe = (folder_ / "model/r.toml").string();
    return o;
  }
  QuantizeOptions with_target(double bits) {
    QuantizeOptions o = options("");
    o.bits_target = bits;
    o.measurement = (folder_ / "model/measured.json").string();
    return o;
  }
  std::string why_not(ErrorKind kind, const QuantizeOptions& o) {
    const std::string what = message_of(kind, [&] { run(o); });
    EXPECT_FALSE(fs::exists(folder_ / "out"));
    return what;
  }
  std::vector<Finding> errors_of(const fs::path& directory) {
    VerifyOptions o;
    o.model = directory.string();
    Listener quiet;
    std::vector<Finding> errors = verify(o, quiet).findings;
    std::erase_if(errors, [](const Finding& finding) { return finding.severity != Severity::kError; });
    return errors;
  }
};

// Bits per weight, codes, scales and zero points counted.
double bits_of(const RunRecord& record) {
  double bits = 0, weights = 0;
  for (const LinearRecord& l : record.linears) {
    const LinearSpec spec{.bits = l.bits, .group_size = l.group_size};
    bits += static_cast<double>(l.out) *
            (static_cast<double>(l.in * l.bits) + static_cast<double>(spec.groups(l.in)) * (16 + l.bits));
    weights += static_cast<double>(l.out * l.in);
  }
  return bits / weights;
}

TEST_F(Recipes, EveryLinearGetsWhatItsRuleSays) {
  for (const char* format : {"gptq", "gptq_v2", "compressed-tensors", "fp16"}) {
    QuantizeOptions o = with_recipe(kRecipe);
    o.format = format;
    const RunRecord record = run(o);
    ASSERT_EQ(record.linears.size(), 13u) << "one stays as it is";
    for (const LinearRecord& linear : record.linears) {
      SCOPED_TRACE(linear.name);
      const bool second_o = linear.name == "model.layers.1.self_attn.o_proj";
      const bool second_qkv = linear.layer == 1 && linear.name.find("self_attn") != std::string::npos && !second_o;
      EXPECT_EQ(linear.bits, second_o ? 8 : second_qkv ? 2 : 4);
      EXPECT_EQ(linear.group_size, second_o ? 32 : 16);
      EXPECT_EQ(linear.damping, second_qkv ? 0.1 : 0.02);
    }
    const Checkpoint result(folder_ / "out");
    EXPECT_NE(result.find("model.layers.0.self_attn.o_proj.weight"), nullptr);
    if (std::string(format) != "fp16") {
      EXPECT_THAT(errors_of(folder_ / "out"), IsEmpty()) << format;
    }
    clear("");
  }
}

// What a linear gets is solved as if all had it: bits of one do not show in a part of the model in front of it.
TEST_F(Recipes, LayersInFrontOfARuleAreThoseOfAPlainRun) {
  QuantizeOptions plain = options("");
  const RunRecord without = run(plain);
  clear("");
  const RunRecord with = run(with_recipe("[[rule]]\nmatch = '.*layers.1.*down_proj'\nbits = 8\n"));
  ASSERT_EQ(with.linears.size(), without.linears.size());
  for (size_t i = 0; i + 1 < with.linears.size(); ++i) EXPECT_EQ(with.linears[i].loss, without.linears[i].loss);
  EXPECT_LT(with.linears.back().loss, 0.1 * without.linears.back().loss);
}

TEST_F(Recipes, AnInterruptedRunGoesOnAndAnotherRecipeDoesNot) {
  const QuantizeOptions o = with_recipe(kRecipe);
  run(o);
  const auto expected = result_of(folder_ / "out");
  clear("");
  run_and_stop(o, 5);
  const QuantizeOptions other = with_recipe("[[rule]]\nmatch = '.*o_proj'\nbits = 8\n");
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { run(other); }), HasSubstr("what the recipe decides"));
  run(with_recipe(kRecipe));
  expect_result(expected);
}

TEST_F(Recipes, AResultIsChangedToOtherBitsInParts) {
  run(options(""));
  QuantizeOptions o = with_recipe("[[rule]]\nmatch = '.*down_proj'\nbits = 8\ngroup_size = 48\n");
  o.redo = {"*.down_proj"};
  const RunRecord record = run(o);
  EXPECT_THAT(errors_of(folder_ / "out"), IsEmpty());
  for (const LinearRecord& linear : record.linears)
    EXPECT_EQ(linear.bits, linear.name.ends_with("down_proj") ? 8 : 4) << linear.name;
}

TEST_F(Recipes, AFormatWithOneSpecIsNotChangedToTwo) {
  QuantizeOptions o = options("");
  o.format = "awq";
  run(o);
  o.redo = {"model.layers.1.*"};
  o.group_size = 8;
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { run(o); }), HasSubstr("format awq has one bits and group size"));
}

TEST_F(Recipes, WhatFormatsAndFlagsForbidIsOneLine) {
  QuantizeOptions awq = with_recipe("[[rule]]\nmatch = '.*down_proj'\ngroup_size = 48\n");
  awq.format = "awq";
  EXPECT_THAT(why_not(ErrorKind::kUsage, awq), HasSubstr("format awq has one bits and group size for all linears"));
  EXPECT_THAT(why_not(ErrorKind::kUsage, with_recipe("[[rule]]\nmatch = '.*down_proj'\ngroup_size = 32\n")),
              HasSubstr("groups of 32 do not divide its 48 inputs"));
  EXPECT_THAT(why_not(ErrorKind::kUsage, with_recipe("[[rule]]\nmatch = '.*k_proj'\nbits = 8\n")),
              HasSubstr("have to agree"));
  QuantizeOptions both = with_recipe("group_size = 32\n");
  EXPECT_THAT(why_not(ErrorKind::kUsage, both), HasSubstr("--group-size is 16 by its flag and 32 by the recipe"));
  QuantizeOptions none = options("");
  none.recipe = (folder_ / "model/none.toml").string();
  EXPECT_THAT(why_not(ErrorKind::kBadInput, none), HasSubstr("none.toml"));
}

TEST_F(Recipes, WhatIsDecidedCanBeSeen) {
  QuantizeOptions o = with_recipe(kRecipe);
  o.output.clear();
  o.calibration.clear();
  o.print_recipe = true;
  const std::vector<LinearSetting> settings = resolve_recipe(o, listener_);
  ASSERT_EQ(settings.size(), 14u);
  EXPECT_TRUE(settings[3].skip);
  EXPECT_EQ(settings[7].bits, 2);
  EXPECT_EQ(settings[10].group_size, 32);
  EXPECT_EQ(settings[13].damping, 0.02);
  EXPECT_THAT(to_json(settings), HasSubstr(R"("skip": true)"));
}

TEST_F(Recipes, ATargetIsReachedAndMoreBitsLoseLess) {
  double before = 1e9;
  for (const double target : {3.9, 5.5, 7.5}) {
    const RunRecord record = run(with_target(target));
    EXPECT_LE(bits_of(record), target);
    EXPECT_GT(bits_of(record), target - 1);
    ASSERT_EQ(record.predicted_damage.size(), 5u);
    EXPECT_GE(record.predicted_damage[0].kl, record.predicted_damage[4].kl);
    EXPECT_LT(record.predicted_damage[0].kl, before);
    before = record.predicted_damage[0].kl;
    EXPECT_THAT(errors_of(folder_ / "out"), IsEmpty());
    std::set<std::pair<int, int64_t>> seen;
    for (const LinearRecord& linear : record.linears) seen.insert({linear.bits, linear.group_size});
    EXPECT_GT(seen.size(), 1u) << "nothing was chosen";
    clear("");
  }
}

// Damage is measured once: a file that says something else is believed, as long as it is of this model and text.
TEST_F(Recipes, AMeasurementIsTakenAgain) {
  run(with_target(5));
  const fs::path path = folder_ / "model/measured.json";
  const auto tensors = get_file(folder_ / "out/model.safetensors");
  clear("");
  run(with_target(5));
  EXPECT_EQ(get_file(folder_ / "out/model.safetensors"), tensors);
  clear("");

  Measurement changed = measurement_from_json(Json::parse(read_text_file(path), "m"), "m");
  for (MeasuredUnit& unit : changed.units) {
    for (Candidate& candidate : unit.candidates)
      candidate.damage = unit.members.front().linear.ends_with("down_proj") ? 0 : candidate.damage;
  }
  std::ofstream(path) << measurement_json(changed).dump();
  const RunRecord record = run(with_target(5));
  for (const LinearRecord& linear : record.linears) {
    if (linear.name.ends_with("down_proj")) {
      EXPECT_EQ(linear.bits, 2) << "what costs nothing gets nothing";
    }
  }
  clear("");

  QuantizeOptions other = with_target(5);
  other.samples = 5;
  EXPECT_THAT(why_not(ErrorKind::kUsage, other), HasSubstr("measured.json is of another model"));
  std::ofstream(path) << "{}";
  EXPECT_THAT(why_not(ErrorKind::kBadInput, with_target(5)), HasSubstr("'schema' is missing"));
}

TEST_F(Recipes, TargetsThatCannotBeAreRefused) {
  EXPECT_THAT(why_not(ErrorKind::kUsage, with_target(1)), HasSubstr("1 bits per weight cannot be reached"));
  QuantizeOptions o = with_target(5);
  o.calibration.clear();
  o.method = "rtn";
  EXPECT_THAT(why_not(ErrorKind::kUsage, o), HasSubstr("give --calib"));
}

TEST_F(Recipes, BitsOfTheUsersChoiceAndRulesThatStand) {
  QuantizeOptions o = with_recipe("[[rule]]\nmatch = '.*down_proj'\nbits = 2\ngroup_size = 48\n");
  o.bits_target = 6;
  o.bits_choices = "4,8";
  o.measurement = (folder_ / "model/measured.json").string();
  const RunRecord record = run(o);
  EXPECT_LE(bits_of(record), 6);
  for (const LinearRecord& linear : record.linears) {
    const bool down = linear.name.ends_with("down_proj");
    EXPECT_TRUE(down ? linear.bits == 2 && linear.group_size == 48 : linear.bits == 4 || linear.bits == 8);
  }
}

TEST_F(Recipes, ProtectionGoesToTheLargestDamage) {
  QuantizeOptions o = options("");
  o.protect = 2;
  const RunRecord record = run(o);
  const Measurement measured =
      measurement_from_json(Json::parse(read_text_file(folder_ / "out.hesse-measurement.json"), "m"), "m");
  std::vector<std::pair<double, std::string>> damages;
  for (const MeasuredUnit& unit : measured.units) {
    for (const Candidate& candidate : unit.candidates) {
      if (candidate.spec == LinearSpec{.bits = 4, .group_size = 16})
        damages.emplace_back(candidate.damage, unit.members.front().linear);
    }
  }
  std::sort(damages.rbegin(), damages.rend());
  ASSERT_EQ(damages.size(), 8u);
  for (size_t i = 0; i < damages.size(); ++i) {
    for (const LinearRecord& linear : record.linears) {
      if (linear.name == damages[i].second) {
        EXPECT_EQ(linear.bits, i < 2 ? 8 : 4) << linear.name;
      }
    }
  }
  fs::remove(folder_ / "out.hesse-measurement.json");
}

TEST_F(Recipes, MoreBitsHaveLessDamage) {
  QuantizeOptions o = options("");
  o.protect = 1;
  o.samples = 20;
  run(o);
  const Measurement measured =
      measurement_from_json(Json::parse(read_text_file(folder_ / "out.hesse-measurement.json"), "m"), "m");
  for (const MeasuredUnit& unit : measured.units) {
    for (const Candidate& less : unit.candidates) {
      EXPECT_GE(less.damage, 0);
      for (const Candidate& more : unit.candidates) {
        if (less.spec.group_size != more.spec.group_size || less.spec.bits >= more.spec.bits) continue;
        EXPECT_GT(less.damage, more.damage) << to_text(less.spec) << " and " << to_text(more.spec);
      }
    }
  }
  fs::remove(folder_ / "out.hesse-measurement.json");
}

class ExpertRecipes : public Recipes {
 protected:
  void SetUp() override { SmallExperts::make(folder_ / "model"); }
};

// Engines make one linear of all experts of a layer; one of these here sees no token at all.
TEST_F(ExpertRecipes, ATargetGivesTheExpertsOfALayerTheSame) {
  const RunRecord record = run(with_target(6));
  EXPECT_LE(bits_of(record), 6);
  EXPECT_GT(bits_of(record), 5);
  EXPECT_THAT(errors_of(folder_ / "out"), IsEmpty());
  std::map<int64_t, std::set<std::pair<int, int64_t>>> of_experts;
  for (const LinearRecord& linear : record.linears) {
    if (linear.name.find(".experts.") != std::string::npos)
      of_experts[linear.layer].insert({linear.bits, linear.group_size});
  }
  ASSERT_EQ(of_experts.size(), 2u);
  for (const auto& [layer, specs] : of_experts) EXPECT_EQ(specs.size(), 1u) << layer;
  EXPECT_EQ(record.phases[1].name, "measure");
  EXPECT_GT(record.phases[1].seconds, 0);
}

TEST_F(ExpertRecipes, MoreBitsHaveLessDamage) {
  run(with_target(6));
  const Measurement measured =
      measurement_from_json(Json::parse(read_text_file(folder_ / "model/measured.json"), "m"), "m");
  ASSERT_EQ(measured.units.size(), 2u * 3u);  // q with k and v, o, experts
  for (const MeasuredUnit& unit : measured.units) {
    // What the dead attention of the first layer writes is 0 at any bits.
    const bool dead = unit.members.front().linear.starts_with("model.layers.0.self_attn");
    for (const Candidate& less : unit.candidates) {
      for (const Candidate& more : unit.candidates) {
        if (less.spec.group_size != more.spec.group_size || less.spec.bits >= more.spec.bits) continue;
        EXPECT_TRUE(dead ? less.damage >= more.damage : less.damage > more.damage)
            << unit.members.front().linear << " " << to_text(less.spec) << " and " << to_text(more.spec);
      }
    }
  }
}

TEST_F(ExpertRecipes, ALayerThatDoesNotFitIsRefused) {
  QuantizeOptions o = with_target(6);
  o.output.clear();
  o.measurement.clear();
  o.memory = 1e-5;  // 10 kB
  const std::string what = message_of(ErrorKind::kUsage, [&] { resolve_recipe(o, listener_); });
  EXPECT_THAT(what, HasSubstr("[measure] layer 0 has"));
}

}  // namespace
}  // namespace hesse
