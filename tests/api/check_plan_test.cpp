// What `check` plans, with weights and from config.json alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <string>

#include "hesse/api.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kConfigs = fs::path(HESSE_SOURCE_DIR) / "tests/data/configs";

const Finding* find(const CheckResult& result, std::string_view check) {
  const auto found = std::find_if(result.findings.begin(), result.findings.end(),
                                  [&](const Finding& finding) { return finding.check == check; });
  return found == result.findings.end() ? nullptr : &*found;
}

// config.json of a published model, and nothing else.
CheckResult plan_of(const std::string& name, const QuantizeOptions& quantize = {}) {
  const fs::path folder = fs::path(testing::TempDir()) / ("hesse-plan-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  fs::copy_file(kConfigs / (name + ".json"), folder / "config.json", fs::copy_options::overwrite_existing);
  CheckOptions options;
  options.quantize = quantize;
  options.quantize.model = folder.string();
  options.config_only = true;
  Listener quiet;
  CheckResult result = check(options, quiet);
  fs::remove_all(folder);
  return result;
}

TEST(CheckPlan, FromConfigAloneForModelsThatAreTooLargeForThisMachine) {
  struct Case {
    const char* name;
    double billions;
    int64_t layers;
  };
  for (const Case& c : {Case{"qwen1.5-110b", 111, 80},
                        {"llama-3.1-405b", 406, 126},
                        {"mixtral-8x7b", 46.7, 32},
                        {"deepseek-v3", 671, 61}}) {
    SCOPED_TRACE(c.name);
    const CheckResult result = plan_of(c.name);
    ASSERT_TRUE(result.plan.has_value());
    const PlanFacts& plan = *result.plan;
    EXPECT_NEAR(static_cast<double>(plan.parameters), c.billions * 1e9, 0.01 * c.billions * 1e9);
    EXPECT_EQ(plan.layers, c.layers);
    EXPECT_EQ(std::ssize(plan.layer_seconds), c.layers);
    EXPECT_GT(plan.seconds, 0);
    // 4 bits in groups of 128 with half scales, and the embeddings in 16.
    EXPECT_GT(plan.result_bytes, plan.parameters / 2);
    EXPECT_LT(plan.result_bytes, plan.parameters / 8 * 5);
    EXPECT_GT(plan.peak_memory_bytes, 1e9);
    EXPECT_FALSE(plan.loaders.empty());
    EXPECT_NE(find(result, "family.run"), nullptr);
  }
}

TEST(CheckPlan, AutoChoosesTheGroupSize) {
  QuantizeOptions options;
  options.group_size = 0;
  for (const auto& [name, size] : {std::pair("falcon-7b", 64), {"smollm2-135m", 64}, {"qwen2-72b", 128}}) {
    const CheckResult result = plan_of(name, options);
    ASSERT_TRUE(result.plan.has_value()) << name;
    for (const GroupSizeFacts& linear : result.plan->group_sizes) {
      EXPECT_EQ(linear.sizes.front().group_size, size) << name;
      EXPECT_EQ(linear.sizes.front().fit, "loadable") << name << ' ' << linear.linear;
    }
  }
}

TEST(CheckPlan, ALoaderThatRefusesIsANoteWithItsReason) {
  QuantizeOptions options;
  options.bits = 3;
  const CheckResult result = plan_of("llama-2-7b", options);
  const Finding* note = find(result, "loader.exllamav2");
  ASSERT_NE(note, nullptr);
  EXPECT_EQ(note->severity, Severity::kNote);
  EXPECT_THAT(note->why, HasSubstr("exllamav2"));
}

TEST(CheckPlan, ConfigProblemsAreErrors) {
  CheckOptions options;
  options.quantize.model = "/nowhere";
  options.config_only = true;
  Listener quiet;
  const CheckResult result = check(options, quiet);
  EXPECT_EQ(result.worst(), Severity::kError);
  EXPECT_FALSE(result.plan.has_value());
}

// With weights: the numbers that `quantize` predicts too.
TEST(CheckPlan, OfTheDemoModel) {
  CheckOptions options;
  options.quantize.model = (fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama").string();
  options.quantize.samples = 8;
  Listener quiet;
  const CheckResult result = check(options, quiet);
  ASSERT_TRUE(result.plan.has_value());
  EXPECT_EQ(result.plan->layers, 6);
  const Finding* memory = find(result, "memory.fits");
  ASSERT_NE(memory, nullptr);
  EXPECT_LT(result.plan->peak_memory_bytes, 300'000'000);
  std::map<std::string, int64_t> phases;
  for (const PhaseMemoryFacts& phase : result.plan->memory) phases[phase.phase] = phase.bytes;
  EXPECT_EQ(
      std::max_element(phases.begin(), phases.end(), [](auto& a, auto& b) { return a.second < b.second; })->second,
      result.plan->peak_memory_bytes);
}

}  // namespace
}  // namespace hesse
