#include "data/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "hesse/error.h"

namespace hesse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kDemo = std::string(HESSE_SOURCE_DIR) + "/models/tiny-llama";

std::string refusal(const std::string& line) {
  try {
    parse_choice_item(line, "t.jsonl: line 3");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "accepted";
}

TEST(Task, AnswersAreIndicesLabelsTextsOrLetters) {
  const auto answer = [](const std::string& rest) {
    return parse_choice_item(R"({"question": "q", "choices": ["x", "y", "2"], )" + rest + "}", "w").answer;
  };
  EXPECT_EQ(answer(R"("answer": 1)"), 1u);
  EXPECT_EQ(answer(R"("answer": "B")"), 1u);
  EXPECT_EQ(answer(R"("answer": "y")"), 1u);
  EXPECT_EQ(answer(R"("answer": "1")"), 1u);
  EXPECT_EQ(answer(R"("answer": "2")"), 2u);  // the text of a choice comes before an index
  EXPECT_EQ(answer(R"("answerKey": "C")"), 2u);
}

TEST(Task, FilesOfArcHellaSwagAndMmlu) {
  const ChoiceItem arc = parse_choice_item(
      R"({"id": "M1", "question": "Why?", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "2"})",
      "w");
  EXPECT_THAT(arc.choices, ElementsAre("a", "b"));
  EXPECT_EQ(arc.answer, 1u);
  const ChoiceItem swag = parse_choice_item(R"({"ctx": "He", "endings": ["ran.", "sat."], "label": "0"})", "w");
  EXPECT_EQ(swag.question, "He");
  EXPECT_EQ(swag.answer, 0u);
  EXPECT_EQ(parse_choice_item(R"({"question": "q", "subject": "s", "choices": ["a", "b"], "answer": 1})", "w").answer,
            1u);
}

TEST(Task, HostileLinesAreRefusedInOneLine) {
  const struct {
    const char* line;
    const char* text;
  } cases[] = {
      {"[1]", "not an object"},
      {"{", "t.jsonl: line 3"},
      {R"({"choices": ["a", "b"], "answer": 0})", "no 'question'"},
      {R"({"question": "q", "answer": 0})", "no 'choices'"},
      {R"({"question": "q", "choices": ["a", "b"]})", "no 'answer'"},
      {R"({"question": "q", "choices": ["a"], "answer": 0})", "1 choices"},
      {R"({"question": "q", "choices": [], "answer": 0})", "0 choices"},
      {R"({"question": "q", "choices": ["a", ""], "answer": 0})", "choice 1 is empty"},
      {R"({"question": "q", "choices": ["a", 2], "answer": 0})", "expected"},
      {R"({"question": "q", "choices": "ab", "answer": 0})", "expected"},
      {R"({"question": 5, "choices": ["a", "b"], "answer": 0})", "expected"},
      {R"({"question": "q", "choices": ["a", "b"], "answer": 2})", "answer 2 of 2 choices"},
      {R"({"question": "q", "choices": ["a", "b"], "answer": -1})", "answer -1 of 2 choices"},
      {R"({"question": "q", "choices": ["a", "b"], "answer": 99999999999999999999})", "t.jsonl"},
      {R"({"question": "q", "choices": ["a", "b"], "answer": "C"})", "answer 2 of 2 choices"},
      {R"({"question": "q", "choices": ["a", "b"], "answer": "neither"})", "none of the 2 choices"},
      {R"({"question": "q", "choices": ["a", "b"], "answer": null})", "no 'answer'"},
      {R"({"question": "q", "choices": {"text": ["a", "b"], "label": ["A"]}, "answer": "A"})", "2 texts and 1 labels"},
      {R"({"question": "q", "choices": {"text": ["a", "b"]}, "answer": "A"})", "no 'label'"},
  };
  for (const auto& test : cases) EXPECT_THAT(refusal(test.line), HasSubstr(test.text)) << test.line;
}

// A space between; spaces at the end of the question go to the choice: the same tokens either way.
TEST(Task, ChoicesStandBehindASpace) {
  const Tokenizer tokenizer = Tokenizer::from_directory(kDemo);
  const auto tokens = [&](const std::string& question, int32_t bos) {
    return choice_tokens({question, {"the river", "a hill"}, 0}, 1, tokenizer, bos);
  };
  const ChoiceTokens plain = tokens("Over there is", -1);
  EXPECT_EQ(tokenizer.decode(plain.ids, false), "Over there is a hill");
  const std::vector<int32_t> question = tokenizer.encode("Over there is", Tokenizer::SpecialTokens::kNone);
  EXPECT_EQ(plain.begin, static_cast<int64_t>(question.size()));
  EXPECT_EQ(tokens("Over there is ", -1).ids, plain.ids);
  EXPECT_EQ(tokens("Over there is ", -1).begin, plain.begin);
  const ChoiceTokens behind = tokens("Over there is", tokenizer.bos_id());
  EXPECT_EQ(behind.begin, plain.begin + 1);
  EXPECT_EQ(behind.ids[0], tokenizer.bos_id());
  EXPECT_THROW(tokens("", -1), Error);
  EXPECT_EQ(tokens("", tokenizer.bos_id()).begin, 1);
}

TEST(Task, CharactersAreCodePoints) {
  EXPECT_EQ(count_characters("h\xC3\xA9\xE2\x82\xAC"), 3);
  EXPECT_EQ(count_characters(""), 0);
}

}  // namespace
}  // namespace hesse
