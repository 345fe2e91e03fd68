// Results of Hugging Face's `tokenizers` library, compared id for id.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tokenizer/cases.h"

namespace hesse {
namespace {

const std::filesystem::path kData = std::filesystem::path(HESSE_SOURCE_DIR) / "tests/data/tokenizer";

void tell(const CasesRun& run) {
  std::printf("%d strings, %d tokenizers, %d differences\n", run.cases, run.tokenizers, run.different);
}

TEST(TokenizerGolden, EveryFileOfCases) {
  int files = 0;
  CasesRun all;
  for (const auto& entry : std::filesystem::directory_iterator(kData)) {
    if (entry.path().extension() != ".jsonl") continue;
    ++files;
    const CasesRun run = run_cases(entry.path());
    EXPECT_GT(run.cases, 20) << entry.path();
    all.cases += run.cases;
    all.tokenizers += run.tokenizers;
    all.different += run.different;
  }
  tell(all);
  EXPECT_GE(files, 1);
}

// The way to compare with more text and more tokenizers than the repository can hold:
// HESSE_TOKENIZER_CASES=FILE of tools/make_tokenizer_fixtures.py, as tools/compare_tokenizers.sh does it.
TEST(TokenizerGolden, CasesNamedByTheEnvironment) {
  const char* path = std::getenv("HESSE_TOKENIZER_CASES");
  if (path == nullptr) GTEST_SKIP() << "HESSE_TOKENIZER_CASES is not set";
  const CasesRun run = run_cases(path);
  EXPECT_GT(run.cases, 0);
  tell(run);
}

}  // namespace
}  // namespace hesse
