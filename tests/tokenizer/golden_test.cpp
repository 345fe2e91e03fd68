// Results of Hugging Face's `tokenizers` library, compared id for id.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tokenizer/cases.h"

namespace hesse {
namespace {

const std::filesystem::path kData = std::filesystem::path(HESSE_SOURCE_DIR) / "tests/data/tokenizer";

TEST(TokenizerGolden, EveryFileOfCases) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kData)) {
    if (entry.path().extension() != ".jsonl") continue;
    ++files;
    EXPECT_GT(run_cases(entry.path()), 20) << entry.path();
  }
  EXPECT_GE(files, 1);
}

// The way to compare with more text and more tokenizers than the repository can hold:
// tools/make_tokenizer_fixtures.py cases ... > FILE, then HESSE_TOKENIZER_CASES=FILE.
TEST(TokenizerGolden, CasesNamedByTheEnvironment) {
  const char* path = std::getenv("HESSE_TOKENIZER_CASES");
  if (path == nullptr) GTEST_SKIP() << "HESSE_TOKENIZER_CASES is not set";
  const int cases = run_cases(path);
  EXPECT_GT(cases, 0);
  RecordProperty("cases", cases);
}

}  // namespace
}  // namespace hesse
