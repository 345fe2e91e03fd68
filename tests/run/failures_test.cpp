// What a user does wrong or finds broken: one clear line, the right exit code, nothing half-written. Through the tool.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "io/file.h"
#include "io/safetensors.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

const fs::path kDemo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";

struct Outcome {
  int exit_code = -1;
  std::string errors;  // stderr
};

class Failures : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("hesse-failures-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "model");
    for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}) {
      fs::copy_file(kDemo / name, folder_ / "model" / name);
    }
    std::ofstream(folder_ / "text.txt") << read_text_file(kDemo / "heldout.txt").substr(0, 60000);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Outcome run(const std::string& arguments) const {
    const std::string log = (folder_ / "stderr").string();
    const std::string command = std::string(HESSE_TOOL) + " " + arguments + " >/dev/null 2>" + log;
    const int status = std::system(command.c_str());
    const Outcome outcome{WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text_file(log)};
    fs::remove(log);
    return outcome;
  }
  Outcome quantize(const std::string& more = "") const {
    return run("quantize " + (folder_ / "model").string() + " -o " + (folder_ / "out").string() + " --calib " +
               (folder_ / "text.txt").string() + " --samples 4 --length 64 --quiet " + more);
  }
  // One line, and no trace of a result.
  void expect_clean(const Outcome& outcome) const {
    EXPECT_THAT(outcome.errors, testing::StartsWith("hesse: error: "));
    EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      EXPECT_THAT(entry.path().filename().string(), testing::AnyOf("model", "text.txt"));
    }
  }
  void change_config(const std::string& from, const std::string& to) const {
    std::string text = read_text_file(folder_ / "model/config.json");
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    std::ofstream(folder_ / "model/config.json") << text.replace(at, from.size(), to);
  }

  fs::path folder_;
};

TEST_F(Failures, TheUndamagedModelWorks) {
  const Outcome outcome = quantize();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_TRUE(fs::exists(folder_ / "out/hesse-run.json"));
}

TEST_F(Failures, NotANumberInAWeight) {
  int64_t offset = 0;
  {
    const SafetensorsFile file(folder_ / "model/model.safetensors");
    for (const TensorView& tensor : file.tensors()) {
      if (tensor.spec.name != "model.layers.2.mlp.up_proj.weight") continue;
      offset = tensor.bytes.data() - file.file().bytes().data() + 2 * (5 * tensor.spec.shape[1] + 7);
    }
  }
  ASSERT_GT(offset, 0);
  std::fstream file(folder_ / "model/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(offset);
  file.write("\xFF\x7F", 2);  // a NaN in half precision
  file.close();
  const Outcome outcome = quantize();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("'model.layers.2.mlp.up_proj.weight' has nan at row 5, column 7")));
  expect_clean(outcome);
}

TEST_F(Failures, TruncatedShard) {
  fs::resize_file(folder_ / "model/model.safetensors", 4000000);
  const Outcome outcome = quantize();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.errors,
              AllOf(HasSubstr("model.safetensors"), HasSubstr("4000000"), HasSubstr("incomplete download?")));
  expect_clean(outcome);
}

TEST_F(Failures, MissingTokenizer) {
  fs::remove(folder_ / "model/tokenizer.json");
  const Outcome outcome = quantize();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.errors, HasSubstr("tokenizer.json"));
  expect_clean(outcome);
}

TEST_F(Failures, UnknownArchitecture) {
  change_config("\"model_type\": \"llama\"", "\"model_type\": \"mamba2\"");
  const Outcome outcome = quantize();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.errors, HasSubstr("architecture 'mamba2' is not supported; its tensors are those of llama"));
  expect_clean(outcome);
}

TEST_F(Failures, ConfigThatDisagreesWithTheTensors) {
  change_config("\"intermediate_size\": 768", "\"intermediate_size\": 800");
  const Outcome outcome = quantize();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("[768, 256]"), HasSubstr("[800, 256]")));
  expect_clean(outcome);
}

TEST_F(Failures, LessTextThanOneWindow) {
  std::ofstream(folder_ / "text.txt") << "only a few words";
  const Outcome outcome = quantize();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("text.txt has "), HasSubstr("fewer than one window of 64")));
  expect_clean(outcome);
}

TEST_F(Failures, UnwritableOutput) {
  const Outcome outcome = run("quantize " + kDemo.string() + " -o /proc/hesse-out --calib " +
                              (folder_ / "text.txt").string() + " --samples 4 --length 64 --quiet");
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.errors, HasSubstr("/proc"));
  expect_clean(outcome);
}

TEST_F(Failures, AnExistingDirectoryIsNotTouched) {
  fs::create_directories(folder_ / "out");
  std::ofstream(folder_ / "out/precious") << "x";
  EXPECT_EQ(quantize().exit_code, 2);
  EXPECT_EQ(quantize("--overwrite").exit_code, 2);  // Hesse did not write it
  EXPECT_TRUE(fs::exists(folder_ / "out/precious"));
}

TEST_F(Failures, AGroupSizeThatDoesNotDivideIsSaidBeforeWork) {
  const Outcome ragged = quantize("--group-size 96");  // 256 = 2 x 96 + 64: allowed by the format
  EXPECT_EQ(ragged.exit_code, 0) << ragged.errors;
  const Outcome wide = quantize("--group-size 1000 --overwrite");
  EXPECT_EQ(wide.exit_code, 2);
  EXPECT_THAT(wide.errors, AllOf(HasSubstr("1000"), HasSubstr("256"), HasSubstr("32, 64, 128, 256 or -1")));
}

}  // namespace
}  // namespace hesse
