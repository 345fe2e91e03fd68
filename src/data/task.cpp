#include "data/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "hesse/error.h"
#include "io/file.h"
#include "io/json.h"

namespace hesse {
namespace {

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw Error(ErrorKind::kBadInput, fmt::format("[task] {}: {}", where, what));
}

// The member of the first of `names` that is there.
const Json& member(const Json& line, std::initializer_list<std::string_view> names, const std::string& where) {
  for (const std::string_view name : names) {
    if (const Json* value = line.find_value(name)) return *value;
  }
  refuse(where, fmt::format("no '{}'; a line needs question, choices and answer", *names.begin()));
}

std::vector<std::string> strings(const Json& list, const std::string& where) {
  std::vector<std::string> all;
  for (const Json& value : list.as_array(where)) all.push_back(value.as_string(where));
  return all;
}

size_t place_of(const std::string& text, const std::vector<std::string>& list) {
  return static_cast<size_t>(std::find(list.begin(), list.end(), text) - list.begin());
}

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const auto end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

size_t index_of(int64_t index, size_t choices, const std::string& where) {
  if (index >= 0 && index < static_cast<int64_t>(choices)) return static_cast<size_t>(index);
  refuse(where, fmt::format("answer {} of {} choices; they are counted from 0", index, choices));
}

size_t answer_of(const Json& answer, const ChoiceItem& item, const std::vector<std::string>& labels,
                 const std::string& where) {
  const size_t count = item.choices.size();
  if (answer.is_number()) return index_of(answer.as_int(where + ", 'answer'"), count, where);
  const std::string& word = answer.as_string(where + ", 'answer'");
  if (const size_t place = place_of(word, labels); place < labels.size()) return place;
  if (const size_t place = place_of(word, item.choices); place < count) return place;
  if (word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z') return index_of(word[0] - 'A', count, where);
  if (const auto index = whole_number(word)) return index_of(*index, count, where);
  refuse(where, fmt::format("answer '{}' is none of the {} choices", word, count));
}

}  // namespace

ChoiceItem parse_choice_item(std::string_view line, const std::string& where) {
  const Json root = Json::parse(line, where);
  if (!root.is_object()) refuse(where, "not an object; a line needs question, choices and answer");
  ChoiceItem item;
  item.question = member(root, {"question", "ctx"}, where).as_string(where + ", 'question'");
  const Json& choices = member(root, {"choices", "endings"}, where);
  const std::string of_choices = where + ", 'choices'";
  std::vector<std::string> labels;
  if (choices.is_object()) {
    item.choices = strings(member(choices, {"text"}, of_choices), of_choices);
    labels = strings(member(choices, {"label"}, of_choices), of_choices);
    if (labels.size() != item.choices.size()) {
      refuse(of_choices, fmt::format("{} texts and {} labels", item.choices.size(), labels.size()));
    }
  } else {
    item.choices = strings(choices, of_choices);
  }
  if (item.choices.size() < 2) refuse(where, fmt::format("{} choices; two or more make a choice", item.choices.size()));
  if (const size_t place = place_of("", item.choices); place < item.choices.size()) {
    refuse(where, fmt::format("choice {} is empty", place));
  }
  item.answer = answer_of(member(root, {"answer", "answerKey", "label"}, where), item, labels, where);
  return item;
}

std::vector<ChoiceItem> read_task(const std::filesystem::path& path, int64_t most) {
  const std::string name = path.filename().string();
  const std::string text = read_text_file(path);
  std::vector<ChoiceItem> items;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size() && (most == 0 || static_cast<int64_t>(items.size()) < most);) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    items.push_back(parse_choice_item(line, fmt::format("{}: line {}", name, number)));
  }
  if (items.empty()) refuse(name, "no questions; a line of JSONL for each is needed");
  return items;
}

ChoiceTokens choice_tokens(const ChoiceItem& item, size_t choice, const Tokenizer& tokenizer, int32_t bos) {
  const size_t kept = item.question.find_last_not_of(' ') + 1;  // 0 when there is nothing else
  const std::string context = item.question.substr(0, kept);
  const std::string space = kept == item.question.size() ? " " : item.question.substr(kept);
  ChoiceTokens tokens;
  if (bos >= 0) tokens.ids.push_back(bos);
  const auto encoded = [&](const std::string& text) { return tokenizer.encode(text, Tokenizer::SpecialTokens::kNone); };
  const std::vector<int32_t> whole = encoded(context + space + item.choices[choice]);
  const int64_t before = static_cast<int64_t>(encoded(context).size());
  tokens.begin = static_cast<int64_t>(tokens.ids.size()) + before;
  tokens.ids.insert(tokens.ids.end(), whole.begin(), whole.end());
  if (tokens.begin < 1 || tokens.begin >= static_cast<int64_t>(tokens.ids.size())) {
    throw Error(
        ErrorKind::kBadInput,
        fmt::format("[task] question '{}' has {} tokens, with its choice {}; both need some (or give --bos always)",
                    context.substr(0, 40), tokens.begin, tokens.ids.size()));
  }
  return tokens;
}

int64_t count_characters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace hesse
