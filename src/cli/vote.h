// Answers of several models shown without names, and the votes for them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hesse/evaluation.h"

namespace hesse {

// In which order the answers to prompt number `prompt` are shown: a permutation that follows from the seed.
std::vector<size_t> blind_order(size_t models, uint64_t seed, size_t prompt);

struct Tally {
  std::vector<int64_t> votes;  // one count a model
  int64_t none = 0;            // no answer was better
  int64_t asked = 0;           // prompts that were voted on
};

// Shows a text and returns what the user types, without the end of the line; nothing at the end of the input.
using Ask = std::function<std::optional<std::string>(const std::string& text)>;

// One question a prompt: the number of the best answer, 0 for none, q to end. Asks again for anything else.
Tally take_votes(const CompareResult& result, const Ask& ask);

// The votes by model, and whose answer each number was.
std::string tally_text(const CompareResult& result, const Tally& tally);

}  // namespace hesse
