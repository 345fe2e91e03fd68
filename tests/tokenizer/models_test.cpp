// Unigram, WordPiece and WordLevel by their definitions, on random vocabularies; and work that grows with the text
// only.
#include <gtest/gtest.h>

#include <ctime>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "hesse/error.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unigram.h"

namespace hesse {
namespace {

using Special = Tokenizer::SpecialTokens;

uint64_t test_seed() { return 11u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed)); }

std::string random_word(Rng& rng, size_t most) {
  std::string word;
  for (size_t i = 1 + rng.below(most); i > 0; --i) word += static_cast<char>('a' + rng.below(3));
  return word;
}

// The largest sum of scores over all cuts of `text`, tried one after another.
double best_sum(const std::map<std::string, double>& scores, std::string_view text) {
  if (text.empty()) return 0;
  double best = -std::numeric_limits<double>::infinity();
  for (size_t size = 1; size <= text.size(); ++size) {
    const auto found = scores.find(std::string(text.substr(0, size)));
    if (found != scores.end()) best = std::max(best, found->second + best_sum(scores, text.substr(size)));
  }
  return best;
}

TEST(Unigram, FindsTheLargestSumOfScores) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  Rng rng(test_seed());
  for (int round = 0; round < 60; ++round) {
    std::map<std::string, double> scores = {{"a", -3.0}, {"b", -4.0}, {"c", -5.5}};
    for (int i = 0; i < 12; ++i) scores[random_word(rng, 4)] = -static_cast<double>(rng.below(1000)) / 100 - 1;
    Json::Array vocab = {Json::Array{"<unk>", 0.0}};
    for (const auto& [token, score] : scores) vocab.push_back(Json::Array{token, score});
    const UnigramModel model(Json::Object{{"type", "Unigram"}, {"unk_id", 0}, {"vocab", vocab}}, "case");
    const std::string text = random_word(rng, 12);
    std::vector<int32_t> ids;
    model.encode(text, ids);
    double sum = 0;
    std::string joined;
    for (const int32_t id : ids) {
      joined += model.vocabulary().token(id);
      sum += scores.at(model.vocabulary().token(id));
    }
    EXPECT_EQ(joined, text);
    EXPECT_NEAR(sum, best_sum(scores, text), 1e-9) << text;
  }
}

Tokenizer from(const std::string& model, const std::string& rest = "") {
  return Tokenizer::from_json(Json::parse("{\"model\": " + model + rest + "}", "t"), Json(), "t");
}

// "x", "xx" and "xx", "x" have the same sum but for roundings. The ids are those of tokenizers 0.23.3.
TEST(Unigram, BreaksTiesByScoresAsTheReferenceReadsThem) {
  using Ids = std::vector<int32_t>;
  const auto ids = [](const std::string& y, const std::string& x, const std::string& xx) {
    const std::string vocab = R"([["<unk>", 0.0], ["y", )" + y + R"(], ["x", )" + x + R"(], ["xx", )" + xx + "]]";
    return from(R"({"type": "Unigram", "unk_id": 0, "vocab": )" + vocab + "}").encode("yxxx", Special::kNone);
  };
  EXPECT_EQ(ids("-6.200239975320136", "-10.031767468460622", "-11.151689601788373"), (Ids{1, 2, 3}));
  EXPECT_EQ(ids("-4.878346813451521", "-9.948651745561293", "-10.166240024764239"), (Ids{1, 3, 2}));
  EXPECT_EQ(ids("-9.20075310039061", "-10.856890754950516", "-9.640910403699435"), (Ids{1, 2, 3}));
  EXPECT_EQ(ids("-920075310039061e-14", "-0.10856890754950516E+2", "-9.640910403699435e0"), (Ids{1, 2, 3}));
}

TEST(WordPiece, TakesTheLongestAndGivesUpWholeWords) {
  const Tokenizer tokenizer = from(R"({"type": "WordPiece", "max_input_chars_per_word": 6,
    "vocab": {"[UNK]": 0, "un": 1, "unab": 2, "##le": 3, "##a": 4, "##able": 5, "##b": 6}})");
  EXPECT_EQ(tokenizer.encode("unable", Special::kNone), (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(tokenizer.encode("unx", Special::kNone), (std::vector<int32_t>{0}));
  EXPECT_EQ(tokenizer.encode("unables", Special::kNone), (std::vector<int32_t>{0}));  // 7 characters
}

TEST(WordLevel, WordsOrUnknown) {
  const Tokenizer tokenizer = from(R"({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1, "bc": 2}})",
                                   R"(, "pre_tokenizer": {"type": "WhitespaceSplit"})");
  EXPECT_EQ(tokenizer.encode("a bc b", Special::kNone), (std::vector<int32_t>{1, 2, 0}));
  const Tokenizer strict = from(R"({"type": "WordLevel", "vocab": {"a": 0}})");
  EXPECT_THROW((void)strict.encode("b", Special::kNone), Error);
}

// A megabyte without a place to cut. Work that grows with the square of it would take hours.
TEST(Models, LongWordsAreQuick) {
  const std::string pieces = R"("vocab": [["<unk>", 0], ["a", -1], ["aa", -1.5], ["aaaaaaaa", -2]])";
  const std::string words = R"("vocab": {"[UNK]": 0, "a": 1, "##a": 2, "##aaaa": 3})";
  for (const Tokenizer& tokenizer :
       {from("{\"type\": \"Unigram\", \"unk_id\": 0, " + pieces + "}"),
        from("{\"type\": \"WordPiece\", \"max_input_chars_per_word\": 9000000, " + words + "}"),
        from("{\"type\": \"WordPiece\", " + words + "}", R"(, "normalizer": {"type": "BertNormalizer"})")}) {
    for (const std::string& text : {std::string(1 << 20, 'a'), std::string(1 << 20, 'z'), std::string(1 << 20, ' ')}) {
      const std::clock_t begin = std::clock();  // processor time: other work on the machine is no failure
      (void)tokenizer.encode(text, Special::kNone);
      (void)tokenizer.trace(text, Special::kNone);
      EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 20) << text[0];
    }
  }
}

}  // namespace
}  // namespace hesse
