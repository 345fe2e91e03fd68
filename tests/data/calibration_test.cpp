#include "data/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>
#include <map>
#include <set>

#include "base/rng.h"
#include "base/sha256.h"
#include "data/documents.h"
#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kDemo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";

std::string gzip(const std::string& text) {
  std::string out(compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string words(int count, const std::string& word) {
  std::string text;
  for (int i = 0; i < count; ++i) text += word + " " + std::to_string(i) + "\n";
  return text;
}

class CalibrationTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("calibration-" + std::to_string(::getpid()));
    fs::remove_all(folder_);  // of a process with this number that was killed
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  Windows windows(const std::vector<std::string>& sources, const CalibrationOptions& options) {
    return calibration_windows(sources, folder_, tokenizer_, options);
  }
  std::vector<int32_t> ids(const std::string& text) { return tokenizer_.encode(text, Tokenizer::SpecialTokens::kNone); }
  std::string refusal(const std::vector<std::string>& sources, const CalibrationOptions& options = {}) {
    try {
      windows(sources, options);
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    ADD_FAILURE() << "was taken";
    return "";
  }
  static std::vector<int32_t> row(const Windows& w, int64_t r) { return {w.ids.row(r), w.ids.row(r) + w.length()}; }

  fs::path folder_;
  Tokenizer tokenizer_ = Tokenizer::from_directory(kDemo);
};

// What docs/QUALITY.md was measured with: windows one after the other, shuffled a file, files in turn.
TEST_F(CalibrationTest, PlainTextGivesTheWindowsOfTheMeasurements) {
  const std::vector<std::string> files = {file("a.txt", words(400, "alpha")), file("b.txt", words(60, "beta"))};
  constexpr int64_t kLength = 16, kCount = 40;
  const Windows made = windows(files, {.length = kLength, .count = kCount, .seed = 5});
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<int64_t>> starts;
  for (size_t f = 0; f < files.size(); ++f) {
    tokens.push_back(ids(read_text_file(files[f])));
    starts.emplace_back();
    for (int64_t at = 0; at + kLength <= static_cast<int64_t>(tokens[f].size()); at += kLength) starts[f].push_back(at);
    Rng rng(5 + f);
    rng.shuffle(starts[f]);
  }
  std::vector<std::vector<int32_t>> expected;
  for (size_t turn = 0; expected.size() < kCount; ++turn) {
    for (size_t f = 0; f < files.size(); ++f) {
      if (turn >= starts[f].size() || expected.size() == kCount) continue;
      const auto first = tokens[f].begin() + starts[f][turn];
      expected.emplace_back(first, first + kLength);
    }
  }
  ASSERT_EQ(made.count(), kCount);
  for (int64_t i = 0; i < kCount; ++i) EXPECT_EQ(row(made, i), expected[static_cast<size_t>(i)]) << i;
}

TEST_F(CalibrationTest, TheSeedChoosesAndNothingElse) {
  const std::vector<std::string> files = {file("a.txt", words(400, "alpha"))};
  const auto all = [&](uint64_t seed) {
    const Windows w = windows(files, {.length = 16, .count = 8, .seed = seed, .random_share = 0.25});
    return std::vector<int32_t>(w.ids.data(), w.ids.data() + w.ids.size());
  };
  EXPECT_EQ(all(1), all(1));
  EXPECT_NE(all(1), all(2));
}

// Weights, gz, zst, messages, token ids, duplicates and a broken line, with exactly the stated numbers, twice the same.
TEST_F(CalibrationTest, AMixtureGivesExactlyTheStatedTokens) {
  file("chat_template.jinja", "{% for m in messages %}<|begin|>{{ m.role }}: {{ m.content }}<|end|>\n{% endfor %}");
  const std::string prose = words(300, "alpha"), code = words(200, "int x =");
  std::string lines;
  lines += "{\"text\": \"" + std::string("one two three four five six seven eight nine ten\"}\n");
  lines += "{\"text\": \"broken\n";
  lines += "\n";
  lines += "{\"messages\": [{\"role\": \"user\", \"content\": \"How are you?\"}]}\n";
  lines +=
      "{\"conversations\": [{\"from\": \"human\", \"value\": \"Hello\"}, {\"from\": \"gpt\", \"value\": \"Yes?\"}]}\n";
  lines += "{\"input_ids\": [5, 6, 7, 8, 9, 10, 11, 12]}\n";
  lines += "{\"input_ids\": [5, 999999]}\n";
  lines += "{\"nothing\": 1}\n";
  lines += "{\"messages\": [{\"role\": \"user\", \"content\": \"How are you?\"}]}";
  const std::vector<std::string> sources = {file("prose.txt.gz", gzip(prose)) + ":2",
                                            file("code.jsonl.zst", zstd(lines)), file("more.txt", code) + ":0.5"};
  const CalibrationOptions options = {.length = 8, .count = 21, .seed = 3};
  const Windows made = windows(sources, options);
  ASSERT_EQ(made.files.size(), 3u);
  const std::string one = "<|begin|>user: How are you?<|end|>\n",
                    two = "<|begin|>user: Hello<|end|>\n<|begin|>assistant: Yes?<|end|>\n";
  const size_t tokens =
      ids("one two three four five six seven eight nine ten").size() + ids(one).size() + ids(two).size() + 8;
  EXPECT_EQ(made.files[1].tokens, static_cast<int64_t>(tokens));
  EXPECT_EQ(made.files[1].documents, 5);  // the fifth is a duplicate
  EXPECT_EQ(made.files[1].duplicates, 1);
  EXPECT_EQ(made.files[1].skipped, 3);
  EXPECT_EQ(made.files[1].kind, "jsonl");
  EXPECT_EQ(made.files[1].bytes, static_cast<int64_t>(lines.size()));
  EXPECT_EQ(made.files[1].sha256, sha256_hex(lines));
  EXPECT_EQ(made.files[0].tokens, static_cast<int64_t>(ids(prose).size()));
  EXPECT_EQ(made.files[0].sha256, sha256_hex(prose));
  EXPECT_EQ(made.files[0].windows, 12);
  EXPECT_EQ(made.files[1].windows, 6);
  EXPECT_EQ(made.files[2].windows, 3);
  EXPECT_EQ(made.ids.size(), 21 * 8);
  EXPECT_THAT(made.skipped, ElementsAre(AllOf(HasSubstr("code.jsonl.zst: line 2"), HasSubstr("--strict")),
                                        AllOf(HasSubstr("line 7"), HasSubstr("999999")), HasSubstr("line 8")));
  const Windows again = windows(sources, options);
  EXPECT_TRUE(std::equal(made.ids.data(), made.ids.data() + made.ids.size(), again.ids.data()));
}

TEST_F(CalibrationTest, StrictStopsAtTheFirstBrokenLine) {
  const std::string path = file("a.jsonl", "{\"text\": \"fine\"}\n{\"text\": 5}\n");
  EXPECT_THAT(refusal({path}, {.length = 2, .strict = true}), AllOf(HasSubstr("a.jsonl: line 2"), HasSubstr("string")));
  EXPECT_THAT(refusal({path}, {.length = 512}), HasSubstr("line 2"));  // why there is so little
}

TEST_F(CalibrationTest, MessagesNeedATemplate) {
  const std::string chat = file("a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}\n");
  EXPECT_THAT(refusal({chat}), AllOf(HasSubstr("a.jsonl: line 1"), HasSubstr("no chat template")));
  file("chat_template.jinja", "{% include 'x' %}");
  EXPECT_THAT(refusal({chat}), AllOf(HasSubstr("chat_template.jinja: line 1"), HasSubstr("'include'")));
  file("chat_template.jinja", "{{ raise_exception('no') }}");
  EXPECT_THAT(refusal({chat}), AllOf(HasSubstr("fewer than one window"), HasSubstr("refuses the messages: no")));
}

TEST_F(CalibrationTest, AWindowHasOneBosAndNeverTwo) {
  const int32_t bos = tokenizer_.bos_id();
  std::string lines;
  for (int i = 0; i < 12; ++i)
    lines += "{\"text\": \"<|begin|>" + std::string(1, static_cast<char>('a' + i)) + " b c d e f\"}\n";
  const Windows made = windows({file("a.jsonl", lines)}, {.length = 6, .count = 6, .bos = true, .pack = false});
  for (int64_t i = 0; i < made.count(); ++i) {
    EXPECT_EQ(made.ids(i, 0), bos);
    EXPECT_NE(made.ids(i, 1), bos);
  }
}

TEST_F(CalibrationTest, WithoutPackingAWindowIsOfOneDocument) {
  std::string lines;
  for (const char* word : {"alpha", "beta", "gamma", "x"}) {
    std::string text;
    for (int i = 0; i < (std::string(word) == "x" ? 2 : 20); ++i) text += std::string(word) + " ";
    lines += "{\"text\": \"" + text + "\"}\n";
  }
  const Windows made = windows({file("a.jsonl", lines)}, {.length = 10, .count = 100, .pack = false});
  ASSERT_GT(made.count(), 3);
  for (int64_t i = 0; i < made.count(); ++i) {
    const std::string text = tokenizer_.decode(row(made, i), false);
    int kinds = 0;
    for (const char* word : {"alph", "bet", "gamm"}) kinds += text.find(word) != std::string::npos ? 1 : 0;
    EXPECT_EQ(kinds, 1) << text;
  }
  EXPECT_THAT(refusal({file("b.jsonl", lines)}, {.length = 100, .pack = false}), HasSubstr("--no-pack"));
}

TEST_F(CalibrationTest, EqualDocumentsCountOnceInAllSources) {
  const std::string text = words(50, "alpha");
  const std::string more = file("b.jsonl", "{\"text\": " + Json(text).dump() + "}\n{\"text\": \"a b c d e f g h\"}\n");
  const Windows made = windows({file("a.txt", text), more}, {.length = 4, .count = 400});
  EXPECT_EQ(made.files[0].duplicates, 0);
  EXPECT_EQ(made.files[1].duplicates, 1);
  EXPECT_EQ(made.files[1].tokens, static_cast<int64_t>(ids("a b c d e f g h").size()));
}

TEST_F(CalibrationTest, RandomTokensAreTextTokens) {
  const Windows made =
      windows({file("a.txt", words(400, "alpha"))}, {.length = 50, .count = 20, .bos = true, .random_share = 0.25});
  ASSERT_EQ(made.count(), 20);
  EXPECT_EQ(made.files.back().kind, "random");
  EXPECT_EQ(made.files.back().windows, 5);
  std::set<int32_t> seen;
  for (int64_t r = 15; r < 20; ++r) {
    EXPECT_EQ(made.ids(r, 0), tokenizer_.bos_id());
    for (int64_t i = 1; i < 50; ++i) {
      seen.insert(made.ids(r, i));
      EXPECT_FALSE(tokenizer_.is_added(made.ids(r, i)));
    }
  }
  EXPECT_GT(seen.size(), 200u);  // of 245: alike ones are rare among 4000
}

TEST_F(CalibrationTest, ADirectoryIsAllItsTexts) {
  file("d/b.txt", words(30, "beta"));
  file("d/a/x.txt", words(30, "alpha"));
  file("d/.hidden", words(30, "hidden"));
  file("d/.git/x.txt", words(30, "hidden"));
  file("d/picture", std::string("\x89PNG\0\0", 6));
  file("d/c.jsonl.gz", gzip("{\"text\": \"gamma gamma\"}\n"));
  const Windows made = windows({(folder_ / "d").string()}, {.length = 8, .count = 5});
  EXPECT_EQ(made.files[0].kind, "directory");
  EXPECT_EQ(made.files[0].name, "d");
  EXPECT_EQ(made.files[0].documents, 3);
  EXPECT_EQ(made.files[0].sha256, sha256_hex(words(30, "alpha") + words(30, "beta") + "{\"text\": \"gamma gamma\"}\n"));
  EXPECT_THAT(made.parts, ElementsAre(HasSubstr("1 files that are no text")));
}

TEST_F(CalibrationTest, BuiltInSetsNeedNoFile) {
  for (const BuiltinText& text : builtin_texts()) {
    const Windows made = windows({"builtin:general"}, {.length = 128, .count = 8});
    EXPECT_EQ(made.count(), 8) << text.name;
    EXPECT_EQ(made.files[0].kind, "built-in");
    EXPECT_EQ(made.files[0].name, "builtin:general");
  }
  EXPECT_THAT(refusal({"builtin:poetry"}), AllOf(HasSubstr("general, code, chat, multilingual")));
}

// A large file is looked at in pieces, a compressed one at its beginning; what is read stays within the limit.
TEST_F(CalibrationTest, LargeSourcesAreReadInPart) {
  std::string text;
  for (int i = 0; i < 40000; ++i) text += "line " + std::to_string(i) + " of \xC3\xA9\n";
  const CalibrationOptions options = {.length = 16, .count = 64, .most_bytes = 100000};
  const Windows plain = windows({file("a.txt", text)}, options);
  EXPECT_LE(plain.files[0].bytes, 100000);
  EXPECT_GT(plain.files[0].bytes, 80000);
  EXPECT_EQ(plain.files[0].documents, 64);
  EXPECT_THAT(plain.parts, ElementsAre(HasSubstr("in 64 pieces at even distances")));
  std::set<std::string> thousands;  // from all over the file
  for (int64_t r = 0; r < plain.count(); ++r) {
    const std::string shown = tokenizer_.decode(row(plain, r), false);
    const size_t at = shown.find("line ");
    if (at != std::string::npos) thousands.insert(shown.substr(at + 5, 2));
  }
  EXPECT_GT(thousands.size(), 20u);
  for (const std::string& path : {file("b.txt.gz", gzip(text)), file("c.txt.zst", zstd(text))}) {
    const Windows part = windows({path}, options);
    EXPECT_LE(part.files[0].bytes, 100000);
    EXPECT_THAT(part.parts, ElementsAre(HasSubstr("its first")));
  }
  std::string lines;
  for (int i = 0; i < 9000; ++i) lines += "{\"text\": \"line " + std::to_string(i) + " is here\"}\n";
  const Windows json = windows({file("d.jsonl", lines)}, options);
  EXPECT_LE(json.files[0].bytes, 100100);
  EXPECT_THAT(json.parts, ElementsAre(HasSubstr("lines")));
}

TEST_F(CalibrationTest, ABombIsReadNoFurtherThanAsked) {
  const std::string zeros(64 << 20, 'a');
  const Windows made = windows({file("bomb.txt.gz", gzip(zeros))}, {.length = 16, .count = 2, .most_bytes = 100000});
  EXPECT_LE(made.files[0].bytes, 100000);
  EXPECT_THAT(refusal({file("bomb.jsonl.zst", zstd(zeros))}),
              AllOf(HasSubstr("line 1 has more than"), HasSubstr("JSONL")));
}

TEST_F(CalibrationTest, WhatCannotBeReadIsSaidWithTheWayOut) {
  const std::string good = gzip(words(300, "alpha")), other = zstd(words(300, "alpha"));
  std::string flipped = other;
  flipped.replace(5, 8, 8, '\xFF');  // no block is like that
  const struct {
    std::string path;
    const char* words;
  } rows[] = {
      {(folder_ / "absent.txt").string(), "absent.txt"},
      {file("cut.txt.gz", good.substr(0, good.size() / 2)), "it ends in the middle"},
      {file("cut.txt.zst", other.substr(0, other.size() / 2)), "it ends in the middle"},
      {file("flip.txt.zst", flipped), "[zstd] flip.txt.zst"},
      {file("x.gz", std::string("\x1F\x8B\x08\xFF\xFF junk junk junk", 20)), "[gzip] x.gz"},
      {file("t.parquet", "PAR1...."), "to_json('t.jsonl'"},
      {file("list.json", "[{\"text\": \"a\"}]"), "jq -c"},
      {file("latin.txt", "abc\xFF" + words(100, "a")), "byte 3 of"},
      {file("empty.txt", ""), "has 0 tokens"},
      {file("empty.jsonl.gz", gzip("")), "has 0 tokens"},
      {file("weight.txt", "a") + ":0", "the weight is 0"},
      {file("weight2.txt", "a") + ":-1", "the weight is -1"},
  };
  for (const auto& row : rows) EXPECT_THAT(refusal({row.path}, {.length = 16}), HasSubstr(row.words)) << row.path;
}

TEST_F(CalibrationTest, PathsMayHoldColons) {
  const std::string path = file("odd:2", words(100, "alpha"));
  EXPECT_EQ(parse_source(path).weight, 1);
  EXPECT_EQ(parse_source(path).path, path);
  EXPECT_EQ(parse_source(path + ":3").weight, 3);
  EXPECT_EQ(parse_source(path + ":3").path, path);
  EXPECT_EQ(parse_source("C:not-a-number").path, "C:not-a-number");
  EXPECT_EQ(parse_source("builtin:code:0.5").path, "builtin:code");
  EXPECT_EQ(parse_source("builtin:code:0.5").weight, 0.5);
}

TEST(Documents, ShapesOfConversations) {
  const auto messages = [](const std::string& line) { return parse_jsonl_line(line, "x: line 1").messages.dump(); };
  EXPECT_EQ(messages(R"({"messages": [{"role": "user", "content": "a", "more": 1}]})"),
            R"([{"role": "user", "content": "a", "more": 1}])");
  EXPECT_EQ(
      messages(R"({"system": "s", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]})"),
      R"([{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])");
  EXPECT_EQ(parse_jsonl_line(R"({"messages": [{"role": "user", "content": "a"}], "tools": "[{\"x\": 1}]"})", "x")
                .tools.dump(),
            R"([{"x": 1}])");
  for (const char* bad :
       {"", "[]", "1", "{", "{}", R"({"text": 1})", R"({"messages": []})", R"({"messages": [1]})",
        R"({"messages": "a"})", R"({"messages": [{"from": "human"}]})",
        R"({"conversations": [{"from": 1, "value": "a"}]})", R"({"input_ids": [1.5]})", R"({"input_ids": [-1]})",
        R"({"input_ids": [4294967296]})", R"({"text": "a"} x)", "{\"text\": \"\xFF\"}"}) {
    EXPECT_THROW(parse_jsonl_line(bad, "x: line 1"), Error) << bad;
  }
}

}  // namespace
}  // namespace hesse
