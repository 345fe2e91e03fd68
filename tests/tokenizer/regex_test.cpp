#include "tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

#include "hesse/error.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The pieces of an isolated split, as the reference library prints them.
std::vector<std::string> split(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern, "test");
  Pieces pieces(text, true);
  split_pieces(pieces, *regex.finder(), SplitBehavior::kIsolated, false);
  std::vector<std::string> out;
  for (const Span& span : pieces.spans) out.emplace_back(pieces.view(span));
  return out;
}

std::string refusal(const std::string& pattern, const std::string& text = "") {
  try {
    (void)split(pattern, text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    return error.what();
  }
  return "no error";
}

bool matches(Finder& finder, char32_t c) {
  std::string text;
  append_utf8(text, c);
  Span match;
  return finder.find(text, 0, match);
}

TEST(Regex, SpaceIsTheSetOfTheReferenceAtEveryCharacter) {
  const Regex space("\\s", "test");
  const Regex not_space("[^\\s]", "test");
  const Regex in_class("[\\S]", "test");
  const auto yes = space.finder();
  const auto no = not_space.finder();
  const auto no_either = in_class.finder();
  for (char32_t c = 0; c < 0x110000; c = c == 0xD7FF ? 0xE000 : c + 1) {
    ASSERT_EQ(matches(*yes, c), is_whitespace(c)) << static_cast<uint32_t>(c);
    ASSERT_EQ(matches(*no, c), !is_whitespace(c)) << static_cast<uint32_t>(c);
    ASSERT_EQ(matches(*no_either, c), !is_whitespace(c)) << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {0x85, 0xA0, 0x1680, 0x2007, 0x2028, 0x3000}) EXPECT_TRUE(matches(*yes, c));
  for (const char32_t c : {0x1C, 0x1F, 0x180E, 0x200B, 0x2060, 0xFEFF}) EXPECT_FALSE(matches(*yes, c));
}

// Each expectation is what the reference library (tokenizers 0.23.3, Oniguruma) returned.
TEST(Regex, OnigurumaSyntaxMeansWhatItMeansThere) {
  EXPECT_THAT(split("\\p{N}{1,3}+", "1234567a"), ElementsAre("1234567", "a"));
  EXPECT_THAT(split("\\p{N}{2}?", "1234567a"), ElementsAre("12", "34", "56", "7", "a"));
  EXPECT_THAT(split("\\p{N}{,2}", "1234567a"), ElementsAre("12", "34", "56", "7", "a"));
  EXPECT_THAT(split("\\s+$", "a  \nb  \n"), ElementsAre("a", "  ", "\nb", "  \n"));
  EXPECT_THAT(split("^.", "ab\ncd\n"), ElementsAre("a", "b\n", "c", "d\n"));
  EXPECT_THAT(split("a(?i)b|c", "aBCac"), ElementsAre("aB", "C", "ac"));
  EXPECT_THAT(split("(?m:a.b)", "a\nb"), ElementsAre("a\nb"));
  EXPECT_THAT(split("\\h+", "abcxyz"), ElementsAre("abc", "xyz"));
  EXPECT_THAT(split("\\v", "a\vb\nc"), ElementsAre("a", "\v", "b\nc"));
  EXPECT_THAT(split("[]a]", "a]b"), ElementsAre("a", "]", "b"));
  EXPECT_THAT(split("[a-c&&[^b]]+", "abc"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(split("[a[^b-z]]+", "abcA"), ElementsAre("a", "bc", "A"));
  EXPECT_THAT(split("[^a[^b-z]]+", "abcA"), ElementsAre("a", "bc", "A"));
  EXPECT_THAT(split("x*", "axxb"), ElementsAre("a", "xx", "b"));
  EXPECT_THAT(split("\\p{^L}+", "ab1"), ElementsAre("ab", "1"));
  EXPECT_THAT(split("\\p{Letter}+", "ab1"), ElementsAre("ab", "1"));
  EXPECT_THAT(split("\\w+", "a_\xC3\xA9\xC2\xB2-"), ElementsAre("a_\xC3\xA9\xC2\xB2", "-"));
  EXPECT_THAT(split("[^\\w]", "a\xC2\xB2"), ElementsAre("a", "\xC2\xB2"));  // as a class it has no superscripts
  EXPECT_THAT(split("\\b", "ab cd"), ElementsAre("ab", " ", "cd"));
  EXPECT_THAT(split("[+--]", "+,-."), ElementsAre("+", ",", "-", "."));
  EXPECT_THAT(split("a++b", "aaab"), ElementsAre("aaab"));
  EXPECT_THAT(split("a{2}{3}", std::string(13, 'a')), ElementsAre("aaaaaa", "aaaaaa", "a"));
  EXPECT_THAT(split("\\x{41}|\\u0042|\\x43", "ABCD"), ElementsAre("A", "B", "C", "D"));
  EXPECT_THAT(split("{", "a{b"), ElementsAre("a", "{", "b"));
  EXPECT_THAT(split("a{x", "a{x"), ElementsAre("a{x"));
  EXPECT_THAT(split("(?<=a)b", "abcb"), ElementsAre("a", "b", "cb"));
  EXPECT_THAT(split("[\\d\\W]+", "a1-b"), ElementsAre("a", "1-", "b"));
  EXPECT_THAT(split("[^\\W\\d]+", "a1-b"), ElementsAre("a", "1-", "b"));
  EXPECT_THAT(split("(?i:'s)", "I'\xC5\xBFt"), ElementsAre("I", "'\xC5\xBF", "t"));
}

TEST(Regex, WhatHasNoCounterpartIsRefusedByName) {
  EXPECT_THAT(refusal("[[:alpha:]]"), HasSubstr("POSIX bracket"));
  EXPECT_THAT(refusal("(a)\\1"), HasSubstr("the escape \\1"));
  EXPECT_THAT(refusal("(?x:a b)"), HasSubstr("group option"));
  EXPECT_THAT(refusal("\\X"), HasSubstr("the escape \\X"));
  EXPECT_THAT(refusal("\\p{script=Han}"), HasSubstr("script=Han"));
  EXPECT_THAT(refusal("\\p{NoSuchThing}"), HasSubstr("NoSuchThing"));
}

TEST(Regex, HostilePatternsAreRefused) {
  for (const char* pattern :
       {"(",       ")",   "[",     "[a",       "[^",       "a)",   "*a",          "(?",      "(?i",
        "(?<n",    "(?#", "\\",    "\\p",      "\\p{L",    "\\x{", "\\x{110000}", "\\uD800", "[b-a]",
        "[a-\\s]", "[]",  "[a&&]", "a{99999}", "(?<=a+)b", "{1}",  "|*"}) {
    EXPECT_THAT(refusal(pattern), HasSubstr("[regex] test: ")) << pattern;
  }
  EXPECT_THAT(refusal(std::string(100000, '(')), HasSubstr("nested deeper"));
  EXPECT_THAT(refusal(std::string(100000, '[')), HasSubstr("nested deeper"));
  EXPECT_THAT(refusal("a" + std::string(100000, '*')), HasSubstr("too many quantifiers"));
  std::string options;
  for (int i = 0; i < 100000; ++i) options += "(?i)";
  EXPECT_THAT(refusal(options), HasSubstr("too many inline options"));
  EXPECT_THAT(refusal("((((a{1000}){1000}){1000}){1000})"), HasSubstr("[regex] test"));
}

TEST(Regex, RunawayBacktrackingIsAnErrorAndNotAHang) {
  const std::clock_t begin = std::clock();  // processor time: other work on the machine is no failure
  EXPECT_THAT(refusal("(?:a|aa)+$", std::string(200, 'a') + "b"), HasSubstr("runaway backtracking"));
  EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 20);
}

TEST(Regex, GroupsMayRepeatOverAMegabyte) {
  const std::string text(1 << 20, 'a');
  EXPECT_THAT(split("(?:a)+", text), ElementsAre(text));
  EXPECT_THAT(split("(?:a|b)+", text), ElementsAre(text));
}

TEST(Regex, RandomPatternsAreTranslatedOrRefused) {
  const uint64_t seed = 20240607;
  SCOPED_TRACE(seed);
  uint64_t state = seed;
  const std::string alphabet = "ab()[]{}*+?|\\^$.-&,12pPsSwWdDLiNm:=!<>\xC3\xA9";
  for (int round = 0; round < 20000; ++round) {
    std::string pattern;
    for (int i = 0; i < 12; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      pattern += alphabet[(state >> 33) % alphabet.size()];
    }
    if (first_invalid_utf8(pattern) != kNoOffset) continue;
    try {
      const Regex regex(pattern, "test");
      Span match;
      (void)regex.finder()->find("ab \xC3\xA9 12", 0, match);
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::kBadInput) << pattern;
    }
  }
}

}  // namespace
}  // namespace hesse
