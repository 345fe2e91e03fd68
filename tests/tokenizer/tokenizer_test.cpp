#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/rng.h"
#include "hesse/error.h"
#include "tokenizer/cases.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

using Special = Tokenizer::SpecialTokens;
using testing::ElementsAre;

const std::filesystem::path kDemo = std::filesystem::path(HESSE_SOURCE_DIR) / "models/tiny-llama";

Tokenizer demo() { return Tokenizer::from_directory(kDemo); }

TEST(Tokenizer, DemoKnowsItsSpecialTokens) {
  const Tokenizer tokenizer = demo();
  EXPECT_EQ(tokenizer.vocab_size(), 4096);
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.token(1), "<|end|>");
  EXPECT_EQ(tokenizer.token_id("<|end|>"), 1);
  EXPECT_EQ(tokenizer.token_id("no such token"), -1);
  EXPECT_EQ(tokenizer.token_id(""), -1);
  EXPECT_EQ(tokenizer.token(-1), "");
  EXPECT_EQ(tokenizer.token(4096), "");
  EXPECT_THAT(tokenizer.encode("", Special::kAdd), ElementsAre(0));
  EXPECT_THAT(tokenizer.encode("", Special::kNone), ElementsAre());
  EXPECT_THAT(tokenizer.encode("<|begin|>", Special::kAdd),
              ElementsAre(0, 0));  // as the reference: the text has one too
}

TEST(Tokenizer, EveryTokenHasItsId) {
  const Tokenizer tokenizer = demo();
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) ASSERT_EQ(tokenizer.token_id(tokenizer.token(id)), id);
}

TEST(Tokenizer, DecodeUndoesEncodeOnAnyText) {
  const Tokenizer tokenizer = demo();
  const uint64_t seed = 17;
  SCOPED_TRACE(seed);
  Rng rng(seed);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) {
      auto c = static_cast<char32_t>(rng.below(rng.below(2) == 0 ? 0x80 : 0x110000));
      if (c >= 0xD800 && c < 0xE000) c = ' ';
      append_utf8(text, c);
    }
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, Special::kNone), false), text);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, Special::kAdd), true), text);
  }
}

TEST(Tokenizer, AnyIdsDecode) {
  const Tokenizer tokenizer = demo();
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{-5, 1 << 30, 4096}, false), "");
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{tokenizer.token_id("\xC3\x83")}, false),
            "\xEF\xBF\xBD");  // half of a character
}

TEST(Tokenizer, InvalidUtf8IsRefusedWithItsPlace) {
  try {
    (void)demo().encode("abc\xFFz", Special::kNone);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(), testing::HasSubstr("byte 3 of 5"));
  }
}

TEST(Tokenizer, ThreadsShareOne) {
  const Tokenizer tokenizer = demo();
  const std::string text = "The quick brown fox, it's 1234 times as lazy.\n\n";
  const std::vector<int32_t> expected = tokenizer.encode(text, Special::kAdd);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) count += tokenizer.encode(text, Special::kAdd) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

// One megabyte without a place to cut. Quadratic work would take hours.
TEST(Tokenizer, LongWordsAreQuick) {
  const Tokenizer byte_level = demo();
  const Tokenizer one_word = [] {
    std::ifstream file(std::filesystem::path(HESSE_SOURCE_DIR) / "tests/data/tokenizer/real_llama2.jsonl");
    std::string line;
    while (std::getline(file, line) && line.find("\"tokenizer\"") == std::string::npos) {
    }
    return Tokenizer::from_json(*Json::parse(line, "line").find("tokenizer"), Json(), "real_llama2");
  }();
  Rng rng(1);
  std::vector<std::string> texts = {
      std::string(1 << 20, 'a'), std::string(1 << 20, ' '), std::string(1 << 20, '\n'), "", "a", ""};
  for (int i = 0; i < (1 << 20); ++i) texts[3] += static_cast<char>('a' + rng.below(26));
  for (int i = 0; i < (1 << 19); ++i) texts[4] += "\xCC\x81";
  for (int i = 0; i < (1 << 18); ++i) texts[5] += "\xF0\x9F\x98\x80";
  for (const Tokenizer* tokenizer : {&byte_level, &one_word}) {
    for (const std::string& text : texts) {
      const std::clock_t begin = std::clock();  // processor time: other work on the machine is no failure
      const std::vector<int32_t> ids = tokenizer->encode(text, Special::kNone);
      EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 20) << text.substr(0, 4);
      EXPECT_EQ(tokenizer->decode(ids, false), text) << text.substr(0, 4);
    }
  }
}

TEST(Tokenizer, ConfigMayAddTokensAndNamesBos) {
  const Json tokenizer = Json::parse(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "<s>": 2}, "merges": []},
    "added_tokens": [{"id": 2, "content": "<s>", "special": true, "normalized": false}]})",
                                     "t");
  const Json config =
      Json::parse(R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "<e>", "unk_token": null,
    "added_tokens_decoder": {"3": {"content": "<x>", "rstrip": true}, "2": {"content": "<s>", "special": true}}})",
                  "c");
  const Tokenizer plain = Tokenizer::from_json(tokenizer, Json(), "t");
  EXPECT_EQ(plain.bos_id(), -1);
  EXPECT_EQ(plain.vocab_size(), 3);
  const Tokenizer both = Tokenizer::from_json(tokenizer, config, "t");
  EXPECT_EQ(both.bos_id(), 2);
  EXPECT_EQ(both.eos_id(), 4);  // <e> was not known: it comes behind <x>
  EXPECT_FALSE(both.adds_bos());
  EXPECT_THAT(both.encode("a<x>  b<e>", Special::kAdd), ElementsAre(0, 3, 1, 4));
}

TEST(Tokenizer, ConfigDecidesThePrefixSpaceOfAByteLevelAtTheTop) {
  const std::string model = R"("model": {"type": "BPE", "vocab": {"a": 0, "Ġ": 1}, "merges": []})";
  const std::string level = R"({"type": "ByteLevel", "add_prefix_space": true})";
  const Json top = Json::parse("{\"pre_tokenizer\": " + level + ", " + model + "}", "t");
  const Json inside = Json::parse(
      "{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [" + level + "]}, " + model + "}", "t");
  const auto ids = [](const Json& tokenizer, const Json& config) {
    return Tokenizer::from_json(tokenizer, config, "t").encode("a", Special::kNone);
  };
  EXPECT_THAT(ids(top, Json()), ElementsAre(1, 0));
  EXPECT_THAT(ids(top, Json::object()), ElementsAre(0));
  EXPECT_THAT(ids(top, Json::parse(R"({"add_prefix_space": true})", "c")), ElementsAre(1, 0));
  EXPECT_THAT(ids(inside, Json::object()), ElementsAre(1, 0));
}

}  // namespace
}  // namespace hesse
