// Damaged and malicious tokenizer.json files: each is an Error that says what is wrong, never a crash or a huge
// allocation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "hesse/error.h"
#include "io/file.h"
#include "tokenizer/tokenizer.h"

namespace hesse {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& text, const std::string& config = "null") {
  try {
    (void)Tokenizer::from_json(Json::parse(text, "t.json"), Json::parse(config, "c.json"), "t.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "no error";
}

std::string with_model(const std::string& members, const std::string& rest = "") {
  return "{\"model\": {\"type\": \"BPE\", " + members + "}" + rest + "}";
}

const std::string kModel = R"("vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"])";

std::string with_part(const std::string& part) { return with_model(kModel, ", " + part); }

TEST(HostileTokenizer, TheGoodOneIsAccepted) { EXPECT_EQ(refusal(with_model(kModel)), "no error"); }

TEST(HostileTokenizer, Models) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[]", "expected an object"},
      {"{}", "'model' is missing"},
      {R"({"model": null})", "no object"},
      {R"({"model": 7})", "no object"},
      {R"({"model": {"type": "Bytes", "vocab": {}}})", "'Bytes' is not supported; known here: BPE, Unigram"},
      {R"({"model": {"type": "Unigram"}})", "'vocab' is missing"},
      {R"({"model": {"type": "Unigram", "vocab": {}}})", "expected an array"},
      {R"({"model": {"type": "Unigram", "vocab": []}})", "vocabulary is empty"},
      {R"({"model": {"type": "Unigram", "vocab": [["a"]]}})", "entry 0 has 1 parts"},
      {R"({"model": {"type": "Unigram", "vocab": [["a", "b"]]}})", "expected a number"},
      {R"({"model": {"type": "Unigram", "vocab": [[1, 2]]}})", "expected a string"},
      {R"({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 1}})", "unk_id is 1, but there are 1"},
      {R"({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": -1}})", "unk_id is -1"},
      {R"({"model": {"type": "WordPiece", "vocab": {}}})", "vocabulary is empty"},
      {R"({"model": {"type": "WordPiece", "vocab": []}})", "expected an object"},
      {R"({"model": {"type": "WordPiece", "vocab": {"a": 0}, "max_input_chars_per_word": -5}})", "is -5"},
      {R"({"model": {"type": "WordLevel", "vocab": {}}})", "vocabulary is empty"},
      {R"({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": 4}})", "expected a string"},
      {R"({"model": {"type": "BPE", "merges": []}})", "'vocab' is missing"},
      {with_model(R"("vocab": {"a": 0})"), "'merges' is missing"},
      {with_model(R"("vocab": {}, "merges": [])"), "vocabulary is empty"},
      {with_model(R"("vocab": [], "merges": [])"), "expected an object"},
      {with_model(R"("vocab": {"a": "0"}, "merges": [])"), "expected an integer"},
      {with_model(R"("vocab": {"a": 0.5}, "merges": [])"), "expected an integer"},
      {with_model(R"("vocab": {"a": -1}, "merges": [])"), "id -1"},
      {with_model(R"("vocab": {"a": 2147483647}, "merges": [])"), "id 2147483647"},
      {with_model(R"("vocab": {"a": 9223372036854775807}, "merges": [])"), "id 9223372036854775807"},
      {with_model(R"("vocab": {"a": 18446744073709551615}, "merges": [])"), "expected an integer"},
      {with_model(R"("vocab": {"a": 0, "b": 0}, "merges": [])"), "'a' and 'b' both have id 0"},
      {with_model(R"("vocab": {"a": 0}, "merges": {})"), "expected an array"},
      {with_model(R"("vocab": {"a": 0}, "merges": [1])"), "expected a string"},
      {with_model(R"("vocab": {"a": 0}, "merges": ["a"])"), "not two parts"},
      {with_model(R"("vocab": {"a": 0}, "merges": ["a b c"])"), "not two parts"},
      {with_model(R"("vocab": {"a": 0}, "merges": [["a"]])"), "2 parts, this one has 1"},
      {with_model(R"("vocab": {"a": 0}, "merges": [["a", 1]])"), "expected a string"},
      {with_model(R"("vocab": {"a": 0}, "merges": ["a b"])"), "'b' is not in the vocabulary"},
      {with_model(R"("vocab": {"a": 0, "b": 1}, "merges": ["a b"])"), "union is not in the vocabulary"},
      {with_model(R"("vocab": {"a": 0}, "merges": [], "dropout": 0.1)"), "dropout"},
      {with_model(R"("vocab": {"a": 0}, "merges": [], "byte_fallback": "yes")"), "expected a boolean"},
  };
  for (const auto& [text, message] : cases) EXPECT_THAT(refusal(text), HasSubstr(message)) << text;
}

TEST(HostileTokenizer, Parts) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "A?=="})", "not base64"},
      {R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAA="})", "says that its array has 0"},
      {R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="})", "its array has 4294967295"},
      {R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAAP8="})", "not UTF-8"},
      {R"("normalizer": {"type": "Rot13"})", "'Rot13' is not supported"},
      {R"("normalizer": {"type": "BertNormalizer", "lowercase": "no"})", "expected a boolean"},
      {R"("normalizer": {})", "'type' is missing"},
      {R"("normalizer": [])", "'type' is missing"},
      {R"("normalizer": {"type": 3})", "expected a string"},
      {R"("normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "X"}]})", "normalizers[1]"},
      {R"("normalizer": {"type": "Replace", "pattern": {}, "content": ""})", "'Regex' is missing"},
      {R"("normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""})", "[regex]"},
      {R"("pre_tokenizer": {"type": "Scissors"})", "'Scissors' is not supported"},
      {R"("pre_tokenizer": {"type": "FixedLength", "length": 0})", "length is 0"},
      {R"("pre_tokenizer": {"type": "CharDelimiterSplit"})", "'delimiter' is missing"},
      {R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[a"}, "behavior": "Isolated"})", "pattern.Regex"},
      {R"("pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Sideways"})", "'Sideways'"},
      {R"("pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}})", "'behavior' is missing"},
      {R"("pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "maybe"})", "'maybe'"},
      {R"("pre_tokenizer": {"type": "ByteLevel", "use_regex": 1})", "expected a boolean"},
      {R"("decoder": {"type": "WordPiece"})", "'prefix' is missing"},
      {R"("decoder": {"type": "CTC"})", "'pad_token' is missing"},
      {R"("decoder": {"type": "Morse"})", "'Morse' is not supported"},
      {R"("decoder": {"type": "Strip", "content": " "})", "'start' is missing"},
      {R"("post_processor": {"type": "Unknown"})", "'Unknown' is not supported"},
      {R"("post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}], "special_tokens": {}})",
       "'<s>' is not among the special_tokens"},
      {R"("post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}],
           "special_tokens": {"<s>": {"ids": [99]}}})",
       "id 99, which no token has"},
      {R"("post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B"}}], "special_tokens": {}})",
       "not 'B'"},
      {R"("post_processor": {"type": "RobertaProcessing", "cls": ["<s>", -1], "sep": ["a", 0]})", "id -1"},
      {R"("post_processor": {"type": "BertProcessing", "cls": ["a"], "sep": ["a", 0]})", "token and its id"},
      {R"("added_tokens": [{"content": "<s>"}])", "'id' is missing"},
      {R"("added_tokens": [{"id": 3}])", "'content' is missing"},
      {R"("added_tokens": [{"id": -3, "content": "<s>"}])", "id -3 is negative"},
      {R"("added_tokens": [{"id": 9223372036854775807, "content": "<s>"}])", "it gets 3"},
      {R"("added_tokens": [{"id": 500, "content": "<s>"}])", "it gets 3"},
      {R"("added_tokens": [{"id": 3, "content": "a"}])", "it gets 0"},
      {R"("added_tokens": [{"id": 3, "content": "<s>", "special": 1}])", "expected a boolean"},
      {R"("added_tokens": 5)", "expected an array"},
  };
  for (const auto& [part, message] : cases) EXPECT_THAT(refusal(with_part(part)), HasSubstr(message)) << part;
}

TEST(HostileTokenizer, Configs) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"bos_token": 3})", "expected a string"},
      {R"({"bos_token": {}})", "'content' is missing"},
      {R"({"added_tokens_decoder": []})", "expected an object"},
      {R"({"added_tokens_decoder": {"x": {"content": "<s>"}}})", "'x' is no token id"},
      {R"({"added_tokens_decoder": {"99999999999": {"content": "<s>"}}})", "is no token id"},
      {R"({"added_tokens_decoder": {"7": {"content": "<s>"}}})", "it gets 3"},
      {R"({"additional_special_tokens": [5]})", "expected a string"},
  };
  for (const auto& [config, message] : cases)
    EXPECT_THAT(refusal(with_model(kModel), config), HasSubstr(message)) << config;
}

TEST(HostileTokenizer, AnAddedTokenNeverTakesAnIdInUse) {
  EXPECT_THAT(refusal(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 2}, "merges": []},
    "added_tokens": [{"id": 2, "content": "<s>"}]})"),
              HasSubstr("taken by 'b'"));
}

TEST(HostileTokenizer, SequencesInSequences) {
  std::string nested = R"({"type": "NFC"})";
  for (int i = 0; i < 90; ++i) nested = R"({"type": "Sequence", "normalizers": [)" + nested + "]}";
  EXPECT_EQ(refusal(with_part("\"normalizer\": " + nested)), "no error");
  for (int i = 0; i < 5000; ++i) nested = R"({"type": "Sequence", "normalizers": [)" + nested + "]}";
  EXPECT_THAT(refusal(with_part("\"normalizer\": " + nested)), HasSubstr("nested deeper"));
}

TEST(HostileTokenizer, UnknownTokenThatDoesNotExistIsAnErrorWhenNeeded) {
  const Json json = Json::parse(with_model(R"("vocab": {"a": 0}, "merges": [], "unk_token": "<unk>")"), "t.json");
  const Tokenizer tokenizer = Tokenizer::from_json(json, Json(), "t.json");
  EXPECT_EQ(tokenizer.encode("aa", Tokenizer::SpecialTokens::kNone).size(), 2u);
  EXPECT_THROW((void)tokenizer.encode("z", Tokenizer::SpecialTokens::kNone), Error);
}

TEST(HostileTokenizer, CatastrophicPatternEndsWithAnError) {
  const Json json = Json::parse(with_part(R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?:a|aa)+$"},
    "behavior": "Isolated"})"),
                                "t.json");
  const Tokenizer tokenizer = Tokenizer::from_json(json, Json(), "t.json");
  EXPECT_THROW((void)tokenizer.encode(std::string(200, 'a') + "b", Tokenizer::SpecialTokens::kNone), Error);
}

// Any prefix of the file, and the file with any one byte changed: accepted or refused, nothing else.
TEST(HostileTokenizer, DamagedBytes) {
  const std::string good = with_part(R"("added_tokens": [{"id": 3, "content": "<s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "a"}]},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\s+|[a-z]{1,3}"}, "behavior": "Isolated", "invert": false},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [3]}}},
    "decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})");
  const auto attempt = [](const std::string& text) {
    try {
      const Tokenizer tokenizer = Tokenizer::from_json(Json::parse(text, "t.json"), Json(), "t.json");
      (void)tokenizer.decode(tokenizer.encode("ab  b<s>", Tokenizer::SpecialTokens::kAdd), false);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadInput) << error.what();
    }
  };
  ASSERT_EQ(refusal(good), "no error");
  for (size_t size = 0; size < good.size(); ++size) attempt(good.substr(0, size));
  for (size_t at = 0; at < good.size(); ++at) {
    for (const char replacement : {'0', '9', '"', '}', '[', '\\', 'a', ' '}) {
      std::string damaged = good;
      damaged[at] = replacement;
      attempt(damaged);
    }
  }
}

TEST(HostileTokenizer, AMissingDirectoryIsNamed) {
  try {
    (void)Tokenizer::from_directory("/no/such/model");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/no/such/model"));
  }
}

}  // namespace
}  // namespace hesse
