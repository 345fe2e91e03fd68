// Words by themselves, and words remembered, give what the whole piece gives.
#include "tokenizer/piece_cache.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "tokenizer/bpe.h"
#include "tokenizer/unicode.h"
#include "tokenizer/word_cutter.h"

namespace hesse {
namespace {

// One to three bytes; the last three are no tokens of every model.
const std::vector<std::string> kCharacters = {"a", "b", "c", ".", "\u00e9", "\u2581", "d", "\u03b1", "\u4e00"};

struct Traits {
  bool byte_fallback = false;
  bool all_bytes = true;  // else only the even ones are tokens
  bool unk = false;
  bool fuse_unk = false;
  bool ignore_merges = false;
  std::string prefix;
  std::string suffix;
};

// A model of some of the characters and random merges of tokens that exist by then.
std::string random_model(Rng& rng, const Traits& traits) {
  std::map<std::string, int> vocab;
  const auto add = [&](const std::string& token) { vocab.emplace(token, static_cast<int>(vocab.size())); };
  std::vector<std::string> tokens(kCharacters.begin(), kCharacters.begin() + 5 + static_cast<ptrdiff_t>(rng.below(3)));
  if (traits.byte_fallback) {
    for (int byte = 0; byte < 256; byte += traits.all_bytes ? 1 : 2) add(fmt::format("<0x{:02X}>", byte));
    tokens.push_back("<0xCE>");  // may be merged like any other
  }
  if (traits.unk) tokens.push_back("<unk>");
  for (const std::string& token : tokens) add(token);
  std::string merges;
  for (int i = 0; i < 12; ++i) {
    const std::string left = tokens[rng.below(tokens.size())], right = tokens[rng.below(tokens.size())];
    if (!right.starts_with(traits.prefix) || left.size() + right.size() > 20) continue;
    tokens.push_back(left + right.substr(traits.prefix.size()));
    add(tokens.back());
    merges += fmt::format(R"({}["{}", "{}"])", merges.empty() ? "" : ", ", left, right);
  }
  std::string entries;
  for (const auto& [token, id] : vocab) entries += fmt::format(R"({}"{}": {})", entries.empty() ? "" : ", ", token, id);
  return fmt::format(R"({{"vocab": {{{}}}, "merges": [{}], "byte_fallback": {}, "fuse_unk": {}, "ignore_merges": {},
                         "unk_token": {}, "continuing_subword_prefix": "{}", "end_of_word_suffix": "{}"}})",
                     entries, merges, traits.byte_fallback, traits.fuse_unk, traits.ignore_merges,
                     traits.unk ? "\"<unk>\"" : "null", traits.prefix, traits.suffix);
}

std::string random_text(Rng& rng, size_t characters) {
  std::string text;
  for (size_t i = 0; i < characters; ++i) text += kCharacters[rng.below(kCharacters.size())];
  return text;
}

// Both ways of cutting against the piece as a whole. Returns the number of cuts.
int check(const BpeModel& model, const std::string& text) {
  std::vector<int32_t> whole, words, cached;
  model.encode(text, whole);
  int cuts = -1;
  for (size_t begin = 0; begin < text.size(); ++cuts) {
    const size_t end = model.word_end(text, begin);
    EXPECT_GT(end, begin);
    model.encode(std::string_view(text).substr(begin, end - begin), words);
    begin = end;
  }
  EXPECT_EQ(words, whole) << text;
  PieceCache cache(model);
  for (int again = 0; again < 2; ++again) {
    cached.clear();
    cache.encode(text, cached);
    EXPECT_EQ(cached, whole) << text;
  }
  return cuts;
}

TEST(PieceCache, WordsGiveTheIdsOfThePieceInRandomModels) {
  const uint64_t seed = 5 + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  int cuts = 0;
  for (int round = 0; round < 600; ++round) {
    const Traits traits{.byte_fallback = rng.below(2) == 0,
                        .all_bytes = rng.below(2) == 0,
                        .unk = rng.below(2) == 0,
                        .fuse_unk = rng.below(2) == 0,
                        .ignore_merges = rng.below(8) == 0,
                        .prefix = rng.below(8) == 0 ? "b" : "",
                        .suffix = rng.below(8) == 0 ? "a" : ""};
    const std::string json = random_model(rng, traits);
    const BpeModel model(Json::parse(json, "model"), "model");
    for (const size_t size : {1, 2, 20, 60, 300}) cuts += check(model, random_text(rng, size));
    ASSERT_FALSE(HasFailure()) << json;
  }
  EXPECT_GT(cuts, 10000);  // else nothing was tested
}

// What depends on the place in the piece, or on all of it, is never cut.
TEST(PieceCache, DecoratedAndWholePieceModelsAreNotCut) {
  const std::string text(100, 'a');
  for (const char* trait : {R"("end_of_word_suffix": "</w>")", R"("continuing_subword_prefix": "##")",
                            R"("ignore_merges": true)", R"("fuse_unk": false)"}) {
    const std::string json = fmt::format(R"({{"vocab": {{"a": 0}}, "merges": [], {}}})", trait);
    const BpeModel model(Json::parse(json, "model"), "model");
    EXPECT_EQ(model.word_end(text, 0), std::string_view(trait).starts_with("\"fuse") ? 1u : 100u) << trait;
  }
}

// More words than it keeps: it grows, forgets all, and is right throughout.
TEST(PieceCache, ForgetsWithoutHarm) {
  const std::string json = R"({"vocab": {"0": 0, "1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "7": 7, "8": 8, "9": 9,
                               "12": 10, "34": 11, "1234": 12}, "merges": ["1 2", "3 4", "12 34"]})";
  const BpeModel model(Json::parse(json, "model"), "model");
  PieceCache cache(model);
  for (int i = 0; i < 150000; ++i) {
    const std::string word = std::to_string(i % 2 == 0 ? i : i / 3);
    std::vector<int32_t> expected, ids;
    model.encode(word, expected);
    cache.encode(word, ids);
    ASSERT_EQ(ids, expected) << word;
  }
}

TEST(PieceCache, WordsOfAllLengths) {
  const std::string json = R"({"vocab": {"a": 0, "b": 1, "ab": 2, "ba": 3, "abab": 4},
                               "merges": ["a b", "b a", "ab ab"]})";
  const BpeModel model(Json::parse(json, "model"), "model");
  std::string word;
  for (int size = 0; size < 140; ++size) {
    if (!word.empty()) check(model, word);
    word += size % 3 == 2 ? 'b' : "ab"[size % 2];
  }
}

TEST(WordCutter, CutsBetweenKnownCharactersThatNoMergeJoins) {
  WordCutter cutter;
  for (const char* token : {"a", "b", "\u2581", "\u2581a", "ab"}) cutter.add_token(token);
  cutter.add_merge("\u2581", "a");
  cutter.add_merge("a", "b");
  cutter.build();
  const std::string text = "\u2581ab\u2581abaxb\u2581";  // x is unknown
  std::vector<size_t> ends;
  for (size_t at = 0; at < text.size(); ends.push_back(at)) at = cutter.word_end(text, at);
  EXPECT_EQ(ends, (std::vector<size_t>{5, 10, 13, 16}));  // b|_, b|a, and not around x
}

}  // namespace
}  // namespace hesse
