#include "cli/vote.h"

#include <fmt/format.h>

#include <numeric>
#include <random>
#include <utility>

#include "cli/text.h"

namespace hesse {
namespace {

// The vote, or -1 for something else.
int64_t vote_of(const std::string& word, size_t models) {
  if (word.size() != 1 || word[0] < '0' || word[0] > '9') return -1;
  const int64_t number = word[0] - '0';
  return number <= static_cast<int64_t>(models) ? number : -1;
}

std::string shown(const ComparedPrompt& prompt, const std::vector<size_t>& order, size_t number, size_t count) {
  std::string text = fmt::format("\n--- prompt {} of {} ---\n{}\n", number + 1, count, prompt.prompt);
  for (size_t i = 0; i < order.size(); ++i) {
    text += fmt::format("\n[{}]\n{}\n", i + 1, prompt.answers[order[i]].text);
  }
  return text + fmt::format("\nwhich is best? 1 to {}, 0: none, q: end > ", order.size());
}

// Which number was whose, of the prompts that were voted on.
std::string key_text(const CompareResult& result, const Tally& tally) {
  std::string text;
  for (size_t i = 0; i < static_cast<size_t>(tally.asked); ++i) {
    text += fmt::format("prompt {}:", i + 1);
    const std::vector<size_t> order = blind_order(result.models.size(), result.seed, i);
    for (size_t place = 0; place < order.size(); ++place)
      text += fmt::format("{} [{}] {}", place == 0 ? "" : ",", place + 1, result.models[order[place]]);
    text += '\n';
  }
  return text;
}

}  // namespace

std::vector<size_t> blind_order(size_t models, uint64_t seed, size_t prompt) {
  std::vector<size_t> order(models);
  std::iota(order.begin(), order.end(), size_t{0});
  // The standard fixes what this generator gives, but not std::shuffle.
  std::seed_seq words{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(prompt)};
  std::mt19937_64 random(words);
  for (size_t i = models; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  return order;
}

Tally take_votes(const CompareResult& result, const Ask& ask) {
  Tally tally;
  tally.votes.assign(result.models.size(), 0);
  for (size_t i = 0; i < result.prompts.size(); ++i) {
    const std::vector<size_t> order = blind_order(result.models.size(), result.seed, i);
    std::optional<std::string> word = ask(shown(result.prompts[i], order, i, result.prompts.size()));
    while (word && *word != "q" && vote_of(*word, order.size()) < 0) {
      word = ask(fmt::format("a number from 0 to {}, or q > ", order.size()));
    }
    if (!word || *word == "q") break;
    ++tally.asked;
    const int64_t vote = vote_of(*word, order.size());
    if (vote == 0) {
      ++tally.none;
    } else {
      ++tally.votes[order[static_cast<size_t>(vote - 1)]];
    }
  }
  return tally;
}

std::string tally_text(const CompareResult& result, const Tally& tally) {
  std::string text = fmt::format("\n{} voted on\n", counted(tally.asked, "prompt"));
  for (size_t m = 0; m < result.models.size(); ++m) {
    text += fmt::format("{:>4}  {}\n", tally.votes[m], result.models[m]);
  }
  return text + fmt::format("{:>4}  none\n", tally.none) + key_text(result, tally);
}

}  // namespace hesse
