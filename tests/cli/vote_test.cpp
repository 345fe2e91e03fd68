#include "cli/vote.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cli/eval_text.h"

namespace hesse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

CompareResult answers(size_t prompts) {
  CompareResult result;
  result.models = {"original", "copy"};
  result.seed = 7;
  for (size_t i = 0; i < prompts; ++i) {
    result.prompts.push_back(
        {"prompt", {{.text = "of-original", .ids = {}, .stop = {}}, {.text = "of-copy", .ids = {}, .stop = {}}}});
  }
  return result;
}

TEST(Vote, OrdersArePermutationsThatFollowFromTheSeed) {
  std::set<std::vector<size_t>> seen;
  for (size_t prompt = 0; prompt < 200; ++prompt) {
    const std::vector<size_t> order = blind_order(3, 1, prompt);
    EXPECT_EQ(order, blind_order(3, 1, prompt));
    EXPECT_EQ(std::set<size_t>(order.begin(), order.end()).size(), 3u);
    seen.insert(order);
  }
  EXPECT_EQ(seen.size(), 6u);
}

// Somebody who always likes the answer of the copy, wherever it stands, and never sees a name.
TEST(Vote, CountsForTheModelNotForThePlace) {
  const Tally tally = take_votes(answers(20), [](const std::string& text) -> std::optional<std::string> {
    EXPECT_THAT(text, Not(HasSubstr("[original]")));
    EXPECT_THAT(text, Not(HasSubstr("[copy]")));
    return text.find("[1]\nof-copy") != std::string::npos ? "1" : "2";
  });
  EXPECT_THAT(tally.votes, ElementsAre(0, 20));
  EXPECT_EQ(tally.asked, 20);
  const std::string text = tally_text(answers(20), tally);
  EXPECT_THAT(text, HasSubstr("  20  copy\n"));
  // The key: of every prompt both names, in the order in which they were shown.
  for (size_t i = 0; i < 20; ++i) {
    const std::vector<size_t> order = blind_order(2, 7, i);
    const std::vector<std::string> names = answers(1).models;
    EXPECT_THAT(text, HasSubstr("prompt " + std::to_string(i + 1) + ": [1] " + names[order[0]] + ", [2] " +
                                names[order[1]] + "\n"));
  }
}

TEST(Vote, AsksAgainAndEndsWhenTold) {
  std::vector<std::string> words = {"3", "yes", "", "0", "-1", "q", "1"};
  size_t at = 0;
  const auto say = [&](const std::string&) -> std::optional<std::string> { return words[at++]; };
  const Tally tally = take_votes(answers(5), say);
  EXPECT_EQ(tally.none, 1);
  EXPECT_EQ(tally.asked, 1);
  EXPECT_EQ(at, 6u);
  EXPECT_EQ(take_votes(answers(5), [](const std::string&) { return std::nullopt; }).asked, 0);
}

EvalResult evaluated() {
  EvalResult r;
  r.name = "model";
  r.perplexity = 20.5;
  r.mean_nll = 3;
  r.windows = 6;
  r.window = 512;
  r.format = "gptq";
  r.interval = Interval{19.5, 21.5};
  r.bits_per_byte = 1.25;
  r.positions = {{1, 1, 5, 0.5}, {2, 3, 4, 0.25}};
  r.against = AgainstResult{.perplexity = 20, .kl = 0.05, .top1_agreement = 0.875, .name = "original"};
  r.against->perplexity_ratio = 1.025;
  r.against->ratio_interval = Interval{1.02, 1.03};
  return r;
}

TEST(EvalText, OneModelInAFewLines) {
  EvalResult r = evaluated();
  const std::string text = eval_text(r);
  EXPECT_THAT(text, HasSubstr("20.5000 (19.500 to 21.500)  6 windows of 512 tokens, no BOS, gptq\n"));
  EXPECT_THAT(text, HasSubstr("1.0250 (1.0200 to 1.0300)  +2.50 %\n"));
  EXPECT_THAT(text, HasSubstr("87.50 % of the most likely tokens"));
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 10);
  EXPECT_THAT(positions_text(r), HasSubstr("2 to 3"));
  r.blocks = {{0, 0.04, 0.2}, {1, 0.02, 0.6}};
  const std::string ranked = eval_text(r);
  EXPECT_LT(ranked.find("layer   1"), ranked.find("layer   0"));
  r.interval.reset();
  EXPECT_THAT(eval_text(r), HasSubstr("at least 5 windows"));
}

TEST(EvalText, SeveralModelsInOneTable) {
  EvalResult first = evaluated();
  first.against.reset();
  first.others = {evaluated(), evaluated()};
  const std::string text = eval_text(first);
  EXPECT_EQ(text.find("model"), 0u);
  EXPECT_THAT(text, HasSubstr("reference: original, perplexity 20.0000\n"));
}

TEST(EvalText, Tasks) {
  TasksResult r;
  r.tasks = {{"arc.jsonl", 4, 0.25, {{"m", "gptq", 0.5, {0.25, 0.75}, 1, {0.5, 1}}}}};
  EXPECT_THAT(tasks_text(r), HasSubstr("arc.jsonl: 4 questions, 25.0 % by guessing\n"));
  EXPECT_THAT(tasks_text(r), HasSubstr("m      50.00 % (25.0 to 75.0)  100.00 % (50.0 to 100.0)\n"));
}

}  // namespace
}  // namespace hesse
