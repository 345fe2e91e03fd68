// Files of expected results, one JSON object a line. A line with "tokenizer" (an object, or a directory) or
// "pre_tokenizer" says what the lines behind it are about; those have "text" and any of "ids", "ids_special",
// "decoded", "decoded_skip" (when absent: equal to the text; with "lossy" they are not compared), "offsets" (of the
// tokens with special ones, a flat list of characters), or "pieces". Written by tools/make_tokenizer_fixtures.py.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

namespace hesse {

inline std::vector<int32_t> ids_of(const Json& json) {
  std::vector<int32_t> ids;
  for (const Json& id : json.as_array("ids")) ids.push_back(static_cast<int32_t>(id.as_int("id")));
  return ids;
}

inline std::vector<std::string> pieces_of(const PreTokenizer& pretokenizer, const std::string& text) {
  Pieces pieces(text, true);
  pretokenizer.apply(pieces);
  std::vector<std::string> out;
  for (const Span& span : pieces.spans) out.emplace_back(pieces.view(span));
  return out;
}

inline Tokenizer tokenizer_of(const Json& json, const Json& config) {
  if (json.is_object()) return Tokenizer::from_json(json, config, "case");
  std::filesystem::path directory = json.as_string("tokenizer");
  if (directory.is_relative()) directory = std::filesystem::path(HESSE_SOURCE_DIR) / directory;
  return Tokenizer::from_directory(directory);
}

// Offsets equal the reference's, and the bytes are those of the characters; the ids are those of encode().
inline void check_places(const Tokenizer& tokenizer, const Json& line, const std::vector<int32_t>& with_special) {
  const std::string& text = line.find("text")->as_string("text");
  std::vector<size_t> begins = {0};  // of each character, in bytes, and the end
  while (begins.back() < text.size()) {
    begins.push_back(begins.back());
    (void)next_char(text, begins.back());
  }
  std::vector<int32_t> ids;
  std::vector<int32_t> offsets;
  for (const TokenPlace& place : tokenizer.trace(text, Tokenizer::SpecialTokens::kAdd)) {
    ids.push_back(place.id);
    for (const size_t offset : {place.chars.begin, place.chars.end}) offsets.push_back(static_cast<int32_t>(offset));
    EXPECT_EQ(begins.at(place.chars.begin), place.bytes.begin);
    EXPECT_EQ(begins.at(place.chars.end), place.bytes.end);
  }
  EXPECT_EQ(ids, with_special);
  const Json* expected = line.find("offsets");
  EXPECT_EQ(offsets, expected == nullptr ? offsets : ids_of(*expected));
}

inline void check_ids(const Tokenizer& tokenizer, const Json& line) {
  using Special = Tokenizer::SpecialTokens;
  const std::string& text = line.find("text")->as_string("text");
  const std::vector<int32_t> ids = ids_of(*line.find("ids"));
  EXPECT_EQ(tokenizer.encode(text, Special::kNone), ids);
  const Json* special = line.find("ids_special");
  const std::vector<int32_t> with_special = special == nullptr ? ids : ids_of(*special);
  EXPECT_EQ(tokenizer.encode(text, Special::kAdd), with_special);
  check_places(tokenizer, line, with_special);
  if (line.find("lossy") != nullptr) return;
  const Json* decoded = line.find("decoded");
  const Json* skipped = line.find("decoded_skip");
  const std::string whole = decoded == nullptr ? text : decoded->as_string("decoded");
  EXPECT_EQ(tokenizer.decode(ids, false), whole);
  EXPECT_EQ(tokenizer.decode(ids, true), skipped == nullptr ? whole : skipped->as_string("decoded_skip"));
}

inline void check_pieces(const PreTokenizer& pretokenizer, const Json& line) {
  std::vector<std::string> expected;
  for (const Json& piece : line.find("pieces")->as_array("pieces")) expected.push_back(piece.as_string("piece"));
  EXPECT_EQ(pieces_of(pretokenizer, line.find("text")->as_string("text")), expected);
}

struct CasesRun {
  int tokenizers = 0;
  int cases = 0;
  int different = 0;
};

// Runs all lines of a file. Stops after a few failures, a wrong table would flood the log.
inline CasesRun run_cases(const std::filesystem::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::optional<Tokenizer> tokenizer;
  std::unique_ptr<PreTokenizer> pretokenizer;
  std::string line;
  CasesRun run;
  int failures = 0;
  for (int number = 1; std::getline(file, line); ++number) {
    const Json json = Json::parse(line, path.filename().string());
    SCOPED_TRACE(path.filename().string() + ":" + std::to_string(number) + ": " + line.substr(0, 300));
    if (const Json* setting = json.find("tokenizer")) {
      ++run.tokenizers;
      const Json* config = json.find("config");
      tokenizer.emplace(tokenizer_of(*setting, config == nullptr ? Json() : *config));
    } else if (const Json* pre = json.find("pre_tokenizer")) {
      pretokenizer = read_pretokenizer(*pre, "case");
    } else if (json.find("text") != nullptr) {
      ++run.cases;
      json.find("pieces") != nullptr ? check_pieces(*pretokenizer, json) : check_ids(*tokenizer, json);
      const int now = testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count();
      run.different += now > failures;
      failures = now;
      if (run.different >= 5) break;
    }
  }
  return run;
}

}  // namespace hesse
