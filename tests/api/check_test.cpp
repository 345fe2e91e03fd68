// What `check` says as a whole: of a healthy model, of one with many defects, and through the tool.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "api/check_rows.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kShardBytes = 5 << 20;  // of the demo model, three shards

TEST(Check, TheDemoModelIsHealthy) {
  const ModelCopy copy("hesse-check-healthy");
  CheckOptions options = options_for(copy);
  options.quantize.check = options.deep = options.sha256 = true;
  options.quantize.calibration = {std::string(HESSE_SOURCE_DIR) + "/models/tiny-llama/calibration.txt"};
  options.text = {copy.file("text.txt").string()};
  Listener quiet;
  const CheckResult result = check(options, quiet);
  EXPECT_LE(result.worst(), Severity::kNote) << told(bad_findings(result));
  EXPECT_EQ(result.family, "llama");
  ASSERT_TRUE(result.trial);
  EXPECT_LT(result.trial->nll, 5);
  ASSERT_TRUE(result.calibration);
  EXPECT_EQ(result.calibration->tokens, 16 * 64);
  EXPECT_EQ(result.calibration->first_ids.size(), 60u);
  EXPECT_EQ(result.calibration->overlap, 0);
  EXPECT_EQ(result.files.size(), 6u);
  const Json json = Json::parse(to_json(result), "result");
  EXPECT_EQ(json.find("schema")->as_string("schema"), "hesse-check/1");
  EXPECT_EQ(json.find("findings")->as_array("findings").size(), result.findings.size());
}

// Qwen and others have no BOS; that is said and is no fault.
TEST(Check, ATokenizerWithoutBosIsNormal) {
  const ModelCopy copy("hesse-check-no-bos");
  copy.set("tokenizer_config.json", "bos_token", "null");
  copy.set("tokenizer.json", "post_processor", "null");
  Listener quiet;
  const CheckResult result = check(options_for(copy), quiet);
  EXPECT_THAT(bad_findings(result), IsEmpty()) << told(bad_findings(result));
  const auto bos = std::find_if(result.findings.begin(), result.findings.end(),
                                [](const Finding& finding) { return finding.check == "tokenizer.bos"; });
  ASSERT_NE(bos, result.findings.end());
  EXPECT_EQ(bos->severity, Severity::kNote);
  EXPECT_THAT(bos->what, HasSubstr("no BOS token, and none will be used (0 in config.json"));
}

TEST(Check, BosIsVisibleInTheEcho) {
  const ModelCopy copy("hesse-check-echo");
  CheckOptions options = options_for(copy);
  options.quantize.bos = "always";
  Listener quiet;
  const CheckResult result = check(options, quiet);
  ASSERT_TRUE(result.calibration);
  EXPECT_THAT(result.calibration->first_text, testing::StartsWith("<|begin|>"));
  EXPECT_THAT(result.calibration->lengths, testing::SizeIs(1));
  EXPECT_EQ(result.calibration->lengths[0].from, 63);
}

// All of it, the worst first; quantize throws the first and counts the rest.
TEST(Check, EveryProblemIsTold) {
  const ModelCopy copy("hesse-check-many");
  copy.set("tokenizer.json", "post_processor", "null");
  copy.set_config("hidden_act", "\"relu\"");
  copy.set_config("rope_parameters", R"({"rope_type": "xpos"})");
  copy.set_config("eos_token_id", "7");
  copy.rewrite([](auto&) {}, kShardBytes);
  fs::resize_file(copy.model() / "model-00001-of-00003.safetensors", 1000);
  fs::resize_file(copy.model() / "model-00003-of-00003.safetensors", 1000);
  copy.put("text.txt", "short");
  const CheckOptions options = options_for(copy);
  Listener quiet;
  const CheckResult result = check(options, quiet);
  std::vector<std::string> checks;
  for (const Finding& finding : bad_findings(result)) checks.push_back(finding.check);
  EXPECT_THAT(checks, ElementsAre("config.fields", "config.fields", "weights.files", "weights.files",
                                  "calibration.text", "tokenizer.eos"));
  try {
    quantize(options.quantize, quiet);
    ADD_FAILURE() << "quantize did not stop";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("(and 4 more errors; `hesse check` tells all)"));
  }
}

TEST(Check, ExitCodesOfTheTool) {
  const ModelCopy copy("hesse-check-tool");
  copy.set("tokenizer.json", "post_processor", "null");
  const auto run = [&](const std::string& flags) {
    const std::string command = std::string(HESSE_TOOL) + " check '" + copy.model().string() + "' --calib '" +
                                copy.file("text.txt").string() + "' --no-check --length 64 " + flags + " >'" +
                                copy.file("said").string() + "' 2>/dev/null";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  EXPECT_EQ(run("--samples 16"), 0);
  EXPECT_THAT(read_text_file(copy.file("said")), HasSubstr("nothing to do: 0 errors, 0 warnings"));
  EXPECT_EQ(run("--samples 4"), 1);
  EXPECT_THAT(read_text_file(copy.file("said")), testing::StartsWith("warning  256 tokens for 768 channels"));
  fs::remove(copy.model() / "tokenizer.json");
  EXPECT_EQ(run("--samples 16 --json"), 3);
  const Json json = Json::parse(read_text_file(copy.file("said")), "said");
  EXPECT_EQ(json.find("worst")->as_string("worst"), "error");
}

}  // namespace
}  // namespace hesse
