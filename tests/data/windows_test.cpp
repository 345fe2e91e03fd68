#include "data/windows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "hesse/error.h"
#include "tokenizer/tokenizer.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

const fs::path kModel = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";

class WindowsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("windows-" + std::to_string(::getpid()));
    fs::remove_all(folder_);  // of a process with this number that was killed
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path file(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

  fs::path folder_;
  Tokenizer tokenizer_ = Tokenizer::from_directory(kModel);
};

std::string words(int count, const std::string& word) {
  std::string text;
  for (int i = 0; i < count; ++i) text += word + " " + std::to_string(i) + "\n";
  return text;
}

TEST_F(WindowsTest, EvaluationCutsFromTheBeginning) {
  const fs::path path = file("a.txt", words(100, "alpha"));
  const std::vector<int32_t> all = tokenizer_.encode(words(100, "alpha"), Tokenizer::SpecialTokens::kNone);
  const Windows windows = evaluation_windows({path}, kModel, {.length = 32});
  EXPECT_EQ(windows.count(), static_cast<int64_t>(all.size()) / 32);
  for (int64_t i = 0; i < windows.ids.size(); ++i) ASSERT_EQ(windows.ids.data()[i], all[static_cast<size_t>(i)]);
  EXPECT_TRUE(windows.notes.empty());
}

TEST_F(WindowsTest, BosStandsBeforeEveryEvaluationWindow) {
  const fs::path path = file("a.txt", words(100, "alpha"));
  const Windows windows = evaluation_windows({path}, kModel, {.length = 32, .count = 2, .bos = "always"});
  EXPECT_EQ(windows.length(), 33);
  EXPECT_EQ(windows.ids(0, 0), tokenizer_.bos_id());
  EXPECT_EQ(windows.ids(1, 0), tokenizer_.bos_id());
}

TEST_F(WindowsTest, TooLittleTextIsSaidWithBothNumbers) {
  const fs::path path = file("short.txt", "just a few words");
  try {
    evaluation_windows({path}, kModel, {.length = 512});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(),
                testing::AllOf(testing::HasSubstr("short.txt has "), testing::HasSubstr("one window of 512")));
  }
}

}  // namespace
}  // namespace hesse
