// Multiple-choice tasks: a question with its choices a line of JSONL, as ARC, HellaSwag and MMLU have them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace hesse {

struct ChoiceItem {
  std::string question;
  std::vector<std::string> choices;  // two at least, none empty
  size_t answer = 0;                 // index of the right one
};

// "question" (or "ctx"), "choices" (or "endings"): strings, or ARC's {"text": [...], "label": [...]}; "answer" (or
// "answerKey", "label"): an index from 0, a label, the text of a choice, a letter from A, or an index as a string; the
// first of these that fits. Other members are passed over. Error(kBadInput) "[task] `where`: ..." says what is wrong.
ChoiceItem parse_choice_item(std::string_view line, const std::string& where);

// The first `most` items of a file, 0: all. Empty lines are passed over; Error(kBadInput) when there are no items.
std::vector<ChoiceItem> read_task(const std::filesystem::path& path, int64_t most);

// A question and one of its choices behind it, a space between, as tokens; `begin` is the first of the choice's. They
// are cut where the tokens of the question alone end; spaces at the end of the question go to the choice.
struct ChoiceTokens {
  std::vector<int32_t> ids;
  int64_t begin = 0;  // >= 1
};
// `bos`: -1, or the token to put in front. Error(kBadInput) when there is nothing before the choice to predict it from.
ChoiceTokens choice_tokens(const ChoiceItem& item, size_t choice, const Tokenizer& tokenizer, int32_t bos);

int64_t count_characters(std::string_view utf8);  // code points

}  // namespace hesse
