#include "plan/recipe.h"

#include <fmt/format.h>

#include <regex>
#include <utility>

#include "hesse/error.h"

namespace hesse {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kUsage, "[recipe] " + what); }

LinearChoice with_values(LinearChoice choice, const RecipeValues& values) {
  choice.spec.bits = values.bits.value_or(choice.spec.bits);
  choice.spec.group_size = values.group_size.value_or(choice.spec.group_size);
  choice.spec.symmetric = values.symmetric.value_or(choice.spec.symmetric);
  choice.damping = values.damping.value_or(choice.damping);
  return choice;
}

std::string to_text(const LinearChoice& choice) { return choice.skip ? "16 bits" : to_text(choice.spec); }

template <class Visit>
void for_each_linear(const LayerStages& stages, Visit visit) {
  for (const std::vector<StageShape>& layer : stages) {
    for (const StageShape& stage : layer) {
      for (const LinearShape& linear : stage.linears) visit(linear);
    }
  }
}

// A rule and what has come of it.
struct Matcher {
  const RecipeRule* rule;
  std::regex pattern;
  int64_t matched = 0;  // also by rules before it
  int64_t decided = 0;
};

void require_use(const Matcher& matcher, const LayerStages& stages) {
  const RecipeRule& rule = *matcher.rule;
  if (matcher.decided > 0) return;
  if (matcher.matched > 0)
    refuse(fmt::format("{}: all {} linears that '{}' matches are decided by rules before it; the first match wins",
                       rule.place, matcher.matched, rule.pattern));
  refuse(
      fmt::format("{}: '{}' matches no linear; they have names like '{}', and a pattern begins where the name does "
                  "(.* stands for any part)",
                  rule.place, rule.pattern, stages.front().front().linears.front().name));
}

}  // namespace

std::map<std::string, LinearChoice> resolve_rules(const Recipe& recipe, const LayerStages& stages,
                                                  const LinearChoice& standard) {
  std::vector<Matcher> matchers;
  for (const RecipeRule& rule : recipe.rules) matchers.push_back({&rule, std::regex(rule.pattern)});
  std::map<std::string, LinearChoice> choices;
  for_each_linear(stages, [&](const LinearShape& linear) {
    bool decided = false;
    for (Matcher& matcher : matchers) {
      if (!std::regex_search(linear.name, matcher.pattern, std::regex_constants::match_continuous)) continue;
      ++matcher.matched;
      if (std::exchange(decided, true)) continue;
      ++matcher.decided;
      LinearChoice choice = with_values(standard, matcher.rule->values);
      choice.skip = matcher.rule->skip;
      choices.emplace(linear.name, choice);
    }
  });
  for (const Matcher& matcher : matchers) require_use(matcher, stages);
  require_equal_units(stages, choices, standard, recipe.place);
  return choices;
}

std::vector<std::vector<LinearShape>> fusion_units(const LayerStages& stages) {
  std::vector<std::vector<LinearShape>> units;
  for (const std::vector<StageShape>& layer : stages) {
    std::vector<LinearShape> experts;
    for (const StageShape& stage : layer) {
      if (stage.expert != kNoExpert) {
        experts.insert(experts.end(), stage.linears.begin(), stage.linears.end());
        continue;
      }
      std::map<int, std::vector<LinearShape>> by_unit;
      for (const LinearShape& linear : stage.linears) by_unit[linear.unit].push_back(linear);
      for (auto& [number, linears] : by_unit) units.push_back(std::move(linears));
    }
    if (!experts.empty()) units.push_back(std::move(experts));
  }
  return units;
}

void require_equal_units(const LayerStages& stages, const std::map<std::string, LinearChoice>& choices,
                         const LinearChoice& standard, const std::string& place) {
  const auto choice_of = [&](const std::string& name) {
    const auto own = choices.find(name);
    return own != choices.end() ? own->second : standard;
  };
  for (const std::vector<LinearShape>& unit : fusion_units(stages)) {
    const LinearChoice first = choice_of(unit.front().name);
    for (const LinearShape& linear : unit) {
      const LinearChoice other = choice_of(linear.name);
      if (other.skip == first.skip && (other.skip || other.spec == first.spec)) continue;
      refuse(fmt::format("{}: '{}' would have {}, '{}' {}; engines make one linear of them, so that they have to agree",
                         place, unit.front().name, to_text(first), linear.name, to_text(other)));
    }
  }
}

}  // namespace hesse
